"""Reviews: Radar marks a payment of elevated risk for a manual check (docs.stripe.com/radar/reviews)."""

from typing import Final

from booking_payments.sandbox.emulator import objects
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.errors import invalid
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.params import Fields, expand
from booking_payments.sandbox.emulator.records import Record, StripeAccount

KIND: Final = "review"
APPROVE_FIELDS: Final[Fields] = {"expand": expand()}


def open_review(account: StripeAccount, intent: Record, charge: Record) -> None:
    """Open a review of a paid charge, and name it in the charge and the intent."""
    id_ = account.new_id(KIND, "prv")
    review = account.add(KIND, id_, objects.review(account, id_, charge.body))
    account.update(charge, review=id_)
    account.update(intent, review=id_)
    emit(account, "review.opened", review.body)


def approve(account: StripeAccount, _: Json, id_: str) -> Json:
    """``POST /v1/reviews/{id}/approve``."""
    review = account.require(KIND, id_)
    if not review.body["open"]:
        raise invalid(f"This review is already closed: {review.body['reason']}.", executed=True)
    close(account, review, "approved")
    return review.body


def close_of_charge(account: StripeAccount, charge: Record, reason: str) -> None:
    """A refund or a dispute closes the open review of its charge."""
    review = account.find(KIND, charge.body["review"])
    if review is not None and review.body["open"]:
        close(account, review, reason)


def close(account: StripeAccount, review: Record, reason: str) -> None:
    """Close a review with a reason of Stripe's."""
    account.update(review, open=False, reason=reason, closed_reason=reason)
    for kind, id_ in (("charge", review.body["charge"]), ("payment_intent", review.body["payment_intent"])):
        reviewed = account.find(kind, id_)
        if reviewed is not None:
            account.update(reviewed, review=None)
    emit(account, "review.closed", review.body)
