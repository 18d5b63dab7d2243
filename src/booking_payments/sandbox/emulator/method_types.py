"""The types of payment methods: which the emulator has, in which currencies, and what requests may say about each.

Stripe's rules are from docs.stripe.com/payments/payment-methods and the types of the official SDK. A type that is not
in ``MODELLED`` is treated as one that the account has not activated.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import frozen

from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.params import Fields, choice, integer, mapping, not_modelled, text, unsettable


class Flow(Enum):
    """How a customer pays with a type."""

    CARD = "a card, charged at once, maybe after 3-D Secure"
    DEBIT = "a bank debit, which settles later"
    REDIRECT = "a page of the method's own"
    VOUCHER = "a voucher that is shown, and paid in a shop or at a bank until it expires"


@frozen
class MethodType:
    """One type of payment method.

    Attributes:
        flow: How a customer pays with it.
        currencies: Those that it is offered in; ``None``: all.
        options: The parameters below ``payment_method_options[type]``.
        defaults: What the emulator answers there when a request gave nothing.
        lasts_days: How long a voucher can be paid.
    """

    flow: Flow
    currencies: tuple[str, ...] | None
    options: Fields
    defaults: Json
    lasts_days: int = 0

    def takes(self, currency: str) -> bool:
        return self.currencies is None or currency in self.currencies


_LATER: Final = unsettable(choice("none", "off_session", "on_session"))
_NEVER_LATER: Final = choice("none")
_IF_AVAILABLE: Final = choice("if_available", "never")
_DAYS: Final = integer(minimum=0, maximum=60)

MODELLED: Final[Mapping[str, MethodType]] = {
    "card": MethodType(
        Flow.CARD,
        None,
        {
            "capture_method": unsettable(choice("manual")),
            "request_extended_authorization": _IF_AVAILABLE,
            "request_incremental_authorization": _IF_AVAILABLE,
            "request_multicapture": _IF_AVAILABLE,
            "request_overcapture": _IF_AVAILABLE,
            "request_three_d_secure": choice("any", "automatic", "challenge"),
            "setup_future_usage": _LATER,
            **not_modelled(
                "cvc_token",
                "installments",
                "mandate_options",
                "moto",
                "network",
                "require_cvc_recollection",
                "setup_credential_usage",
                "statement_descriptor_suffix_kana",
                "statement_descriptor_suffix_kanji",
                "stored_credential_usage",
                "three_d_secure",
            ),
        },
        {"installments": None, "mandate_options": None, "network": None, "request_three_d_secure": "automatic"},
    ),
    "sepa_debit": MethodType(
        Flow.DEBIT,
        ("eur",),
        {"setup_future_usage": _LATER, **not_modelled("mandate_options", "target_date")},
        {},
    ),
    "us_bank_account": MethodType(
        Flow.DEBIT,
        ("usd",),
        {
            "setup_future_usage": _LATER,
            "verification_method": choice("automatic", "instant"),
            **not_modelled(
                "financial_connections", "mandate_options", "networks", "target_date", "transaction_purpose"
            ),
        },
        {"verification_method": "automatic"},
    ),
    "bancontact": MethodType(
        Flow.REDIRECT,
        ("eur",),
        {"preferred_language": choice("de", "en", "fr", "nl"), "setup_future_usage": _LATER},
        {"preferred_language": "en"},
    ),
    "ideal": MethodType(Flow.REDIRECT, ("eur",), {"setup_future_usage": _LATER}, {}),
    "klarna": MethodType(
        Flow.REDIRECT,
        ("eur", "gbp", "usd"),
        {
            "preferred_locale": text(longest=10),
            "setup_future_usage": _LATER,
            **not_modelled("capture_method", "on_demand", "subscriptions"),
        },
        {"preferred_locale": None},
    ),
    "paypal": MethodType(
        Flow.REDIRECT,
        ("eur", "gbp", "usd"),
        {
            "preferred_locale": text(longest=10),
            "reference": text(longest=127),
            "setup_future_usage": _LATER,
            **not_modelled("capture_method", "risk_correlation_id"),
        },
        {"preferred_locale": None, "reference": None},
    ),
    "boleto": MethodType(
        Flow.VOUCHER,
        ("brl",),
        {"expires_after_days": _DAYS, **not_modelled("setup_future_usage")},
        {"expires_after_days": 3},
        lasts_days=3,
    ),
    "konbini": MethodType(
        Flow.VOUCHER,
        ("jpy",),
        {
            "confirmation_number": text(longest=11),
            "expires_after_days": unsettable(_DAYS),
            "expires_at": unsettable(integer()),
            "product_description": text(longest=22),
            "setup_future_usage": _NEVER_LATER,
        },
        {"confirmation_number": None, "expires_after_days": None, "expires_at": None, "product_description": None},
        lasts_days=3,
    ),
    "multibanco": MethodType(Flow.VOUCHER, ("eur",), {"setup_future_usage": _NEVER_LATER}, {}, lasts_days=7),
    "oxxo": MethodType(
        Flow.VOUCHER,
        ("mxn",),
        {"expires_after_days": _DAYS, "setup_future_usage": _NEVER_LATER},
        {"expires_after_days": 3},
        lasts_days=3,
    ),
}

# fmt: off
OTHER_TYPES: Final = (
    "acss_debit", "affirm", "afterpay_clearpay", "alipay", "alma", "amazon_pay", "au_becs_debit", "bacs_debit",
    "billie", "bizum", "blik", "cashapp", "crypto", "customer_balance", "eps", "fpx", "giropay",
    "grabpay", "interac_present", "kakao_pay", "kr_card", "link", "mb_way", "mobilepay",
    "naver_pay", "nz_bank_account", "p24", "pay_by_bank", "payco", "paynow", "paypay",
    "payto", "pix", "promptpay", "revolut_pay", "samsung_pay", "satispay", "scalapay", "sequra",
    "sofort", "sunbit", "swish", "twint", "upi", "wechat_pay", "zip",
)
# fmt: on
"""The types that Stripe has besides, and the emulator has not."""

# fmt: off
_NAMED_ONLY: Final = (
    "card_present", "custom",
    "boku_promptpay", "capchase_pay", "check_scan", "click_to_pay", "demo_pay", "duitnow", "dummy_auth_push",
    "dummy_passthrough_card", "edenred", "gcash", "getbalance", "gift_card", "gopay", "id_bank_transfer", "knet",
    "kr_market", "kriya", "momo", "mondu", "netbanking", "ng_bank", "ng_bank_transfer", "ng_card", "ng_market",
    "ng_ussd", "ng_wallet", "octopus", "paper_check", "qris", "rechnung", "shop_pay", "shopeepay",
    "south_korea_market", "stripe_balance", "tamara", "test_pay", "touch_n_go", "truemoney", "us_cash_voucher",
    "vipps", "wero",
)
# fmt: on
"""Types that requests can name, and that have no parameters."""

KNOWN: Final = frozenset((*MODELLED, *OTHER_TYPES, *_NAMED_ONLY))
"""Every type of Stripe's."""

REDIRECTS: Final = {name: type_.currencies or () for name, type_ in MODELLED.items() if type_.flow is Flow.REDIRECT}
"""Types that send the customer to a page of their own, and the currencies that each is offered in."""

VOUCHERS: Final = frozenset(name for name, type_ in MODELLED.items() if type_.flow is Flow.VOUCHER)

OPTIONS: Final[Fields] = {
    **{name: unsettable(mapping(type_.options)) for name, type_ in MODELLED.items()},
    **not_modelled(*OTHER_TYPES, "card_present"),
}
"""The parameters below ``payment_method_options``."""


def offered(currency: str, *, redirects: bool, named: tuple[str, ...] = ()) -> list[str]:
    """The types that an account offers in ``currency``: cards and debits, redirects where they are allowed, and
    vouchers where the request names them."""
    return [
        name
        for name, type_ in MODELLED.items()
        if type_.takes(currency)
        and (type_.flow in _ALWAYS or name in named or (redirects and type_.flow is Flow.REDIRECT))
    ]


_ALWAYS: Final = (Flow.CARD, Flow.DEBIT)


def answered_options(types: list[str], given: Json) -> Json:
    """``payment_method_options`` as an object has it: an entry for each of its types, with Stripe's defaults."""
    return {
        name: copy_json(MODELLED[name].defaults) | dict(given.get(name) or {}) for name in types if name in MODELLED
    }
