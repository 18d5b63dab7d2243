"""The preview that a caller has seen: a command is refused if its result would differ from it."""

from typing import Final

from attrs import frozen

from booking_payments.domain.amendments import require_version
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import NotPossibleNow
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import GivenBack


@frozen(kw_only=True)
class Quoted:
    """The result of a preview that a command relies on.

    Attributes:
        version: of the booking; None does not check it.
        refund: the amount that the command refunds to the customer; None does not check it.
    """

    version: int | None = None
    refund: Money | None = None

    def require_version(self, booking: Booking) -> None:
        """Raise ``NotPossibleNow`` (``version_conflict``) when the booking was changed since the preview."""
        require_version(booking, self.version)

    def require_refund(self, before: Payment | None, after: Payment | None) -> None:
        """Raise ``NotPossibleNow`` (``quote_changed``) when the command refunds another amount than was quoted.

        Args:
            before: the payment before the command has decided; None without one.
            after: the payment with the events that the command has added.
        """
        if self.refund is None:
            return
        given = added_refund(before, after, self.refund).amount
        if given != self.refund:
            message = f"{given} would go back now, not {self.refund} as was quoted; nothing was done: look at it again"
            raise NotPossibleNow(message, code="quote_changed")


UNQUOTED: Final = Quoted()
"""Nothing is checked."""


def added_refund(before: Payment | None, after: Payment | None, zero: Money) -> GivenBack:
    """Return the refunds, sent or deferred, that the events between ``before`` and ``after`` have added.

    ``zero`` is any amount of the booking's currency. A payment that was started in between gives nothing back.
    """
    if before is None or after is None or before.id != after.id:
        return GivenBack.zero(zero)
    return (after.given_back + after.deferred_in_all) - (before.given_back + before.deferred_in_all)
