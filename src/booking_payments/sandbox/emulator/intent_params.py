"""The parameters of the endpoints of PaymentIntents, as the types of the official SDK have them."""

from typing import Any, Final

from booking_payments.sandbox.emulator import method_types, payment_methods
from booking_payments.sandbox.emulator.params import (
    Field,
    Fields,
    boolean,
    checked_text,
    choice,
    email,
    expand,
    id_text,
    integer,
    listed,
    mapping,
    metadata,
    not_modelled,
    shipping,
    statement_suffix,
    text,
    unsettable,
    web_address,
)


def _off_session() -> Field:
    def read(value: Any, param: str) -> bool:
        return True if value in ("one_off", "recurring") else bool(boolean().read(value, param))

    return Field(read)


_TYPES: Final = listed(checked_text(method_types.KNOWN.__contains__, "Invalid type of payment method: {}"))

TYPE_FIELDS: Final[Fields] = {
    "allowed_payment_method_types": _TYPES,
    "excluded_payment_method_types": unsettable(_TYPES),
    "payment_method_configuration": checked_text(
        lambda id_: id_.startswith("pmc_"), "No such payment_method_configuration: '{}'"
    ),
}
"""Which types of payment methods a PaymentIntent or a SetupIntent accepts."""

OLD_TYPE_FIELD: Final[Fields] = {"payment_method_types": _TYPES}
"""Until version 2026-09-30."""

_DETAILS: Final = {
    "payment_details": unsettable(mapping({"customer_reference": text(), "order_reference": text()})),
    **not_modelled("amount_details", "hooks"),
    "expand": expand(),
}
_METHOD: Final = {
    "payment_method": id_text(),
    "payment_method_data": mapping(payment_methods.DATA_FIELDS),
    "payment_method_options": mapping(method_types.OPTIONS),
    **TYPE_FIELDS,
    **OLD_TYPE_FIELD,
    "setup_future_usage": choice("off_session", "on_session"),
    "capture_method": choice("automatic", "automatic_async", "manual"),
}

MANDATE_DATA: Final = unsettable(
    mapping(
        {
            "customer_acceptance": mapping(
                {
                    "type": choice("offline", "online", required=True),
                    "accepted_at": integer(),
                    "offline": mapping({}),
                    "online": mapping(
                        {"ip_address": text(required=True, longest=45), "user_agent": text(required=True)}
                    ),
                },
                required=True,
            )
        }
    )
)

_CONFIRMATION: Final = {
    "error_on_requires_action": boolean(),
    "mandate_data": MANDATE_DATA,
    "off_session": _off_session(),
    "return_url": web_address(),
    "use_stripe_sdk": boolean(),
    **not_modelled("confirmation_token", "mandate", "radar_options"),
}

_TEXTS: Final = {
    "description": text(),
    "receipt_email": email(),
    "statement_descriptor": text(longest=22),
    "statement_descriptor_suffix": statement_suffix(),
}
_CONTENT: Final = {
    **_TEXTS,
    "transfer_group": text(),
    "customer": id_text(),
    "metadata": metadata(),
    "shipping": shipping(),
}
_CONNECT: Final = not_modelled("application_fee_amount", "transfer_data")

CREATE_FIELDS: Final[Fields] = {
    **_DETAILS,
    **_METHOD,
    **_CONFIRMATION,
    **_CONTENT,
    **_CONNECT,
    **not_modelled("customer_account", "on_behalf_of"),
    "amount": integer(minimum=1, required=True),
    "currency": text(required=True),
    "confirm": boolean(),
    "confirmation_method": choice("automatic", "manual"),
    "automatic_payment_methods": mapping(
        {"enabled": boolean(), "allow_redirects": choice("always", "never")},
    ),
}
_UNSETTABLE: Final = {
    "setup_future_usage": unsettable(_METHOD["setup_future_usage"]),
    "shipping": unsettable(shipping()),
}
UPDATE_FIELDS: Final[Fields] = {
    **_DETAILS,
    **_METHOD,
    **_CONTENT,
    **_UNSETTABLE,
    **_CONNECT,
    **not_modelled("customer_account"),
    "amount": integer(minimum=1),
    "currency": text(),
}
CONFIRM_FIELDS: Final[Fields] = {
    **_DETAILS,
    **{name: field for name, field in _METHOD.items() if name != "payment_method_configuration"},
    **_CONFIRMATION,
    **_UNSETTABLE,
    **not_modelled("amount_to_confirm"),
    "receipt_email": email(),
    "client_secret": text(),
}
CAPTURE_FIELDS: Final[Fields] = {
    **_DETAILS,
    **_CONNECT,
    "amount_to_capture": integer(minimum=1),
    "final_capture": boolean(),
    "metadata": metadata(),
    "statement_descriptor": text(longest=22),
    "statement_descriptor_suffix": statement_suffix(),
}
CANCEL_FIELDS: Final[Fields] = {
    "cancellation_reason": choice("duplicate", "fraudulent", "requested_by_customer", "abandoned"),
    "expand": expand(),
}
RETRIEVE_FIELDS: Final[Fields] = {"client_secret": text(), "expand": expand()}
