"""Decisions: which facts happen. Pure functions of the payment, what was asked or reported, time and new ids.

Intentions (``intend_...``) check the rules and say what we are about to ask of the gateway. Observations
(``observe_...``) judge what the gateway reports. ``settle`` ends an operation. None of them changes anything: the
facts they return are folded by ``payment.evolve``.

- ``intending``: what may be asked of the gateway, and how;
- ``intents``, ``returns``: judging what it says of intents, and of refunds and disputes;
- ``owing``: what is to go back to a customer;
- ``ending``: the end of operations, and of payments and bookings with them.
"""

from booking_payments.domain.decisions.ending import (
    CANCEL_REFUSED,
    RELEASE_REFUSED,
    booking_after,
    give_up,
    holds_in_vain,
    is_gone,
    may_send,
    needs_ending,
    release_after,
    settle,
)
from booking_payments.domain.decisions.facts import Facts
from booking_payments.domain.decisions.intending import (
    charges,
    intend_cancel,
    intend_capture,
    intend_confirm,
    intend_create,
    intend_refund,
    intend_release,
    require_payable,
    start,
)
from booking_payments.domain.decisions.intents import (
    is_conclusive,
    is_old_intent_news,
    observe_intent,
    observe_method,
    observe_verdict,
)
from booking_payments.domain.decisions.owing import owed_back, owes_late_refund, quote
from booking_payments.domain.decisions.returns import (
    is_old_dispute_news,
    is_old_refund_news,
    observe_dispute,
    observe_refund,
)

__all__ = [
    "CANCEL_REFUSED",
    "RELEASE_REFUSED",
    "Facts",
    "booking_after",
    "charges",
    "give_up",
    "holds_in_vain",
    "intend_cancel",
    "intend_capture",
    "intend_confirm",
    "intend_create",
    "intend_refund",
    "intend_release",
    "is_conclusive",
    "is_gone",
    "is_old_dispute_news",
    "is_old_intent_news",
    "is_old_refund_news",
    "may_send",
    "needs_ending",
    "observe_dispute",
    "observe_intent",
    "observe_method",
    "observe_refund",
    "observe_verdict",
    "owed_back",
    "owes_late_refund",
    "quote",
    "release_after",
    "require_payable",
    "settle",
    "start",
]
