"""Decisions: which facts happen. Pure functions of the payment, what was asked or reported, time and new ids.

Intentions (``intend_...``) check the rules and say what we are about to ask of the gateway. Observations
(``observe_...``) judge what the gateway reports. ``settle`` ends an operation. None of them changes anything: the
facts they return are folded by ``payment.evolve``.

- ``intending``: what may be asked of the gateway, and how;
- ``intents``, ``observe_refunds``, ``observe_disputes``: applying what it reports;
- ``obligations``: what is to go back to a customer, and the refunds that do it;
- ``ending``: the end of operations, and of payments and bookings with them.
"""

from booking_payments.domain.decisions.ending import (
    CANCEL_REFUSED,
    RELEASE_REFUSED,
    booking_after,
    cancels_all_the_same,
    cancels_anew,
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
from booking_payments.domain.decisions.obligations import (
    HELD_BY_DISPUTE,
    NEVER_SENT,
    REFUSED_BY_DISPUTE,
    NewIds,
    Request,
    first_made_at,
    must_wait,
    owes_late_refund,
    paid_out_beyond,
    promise_late_money,
    promise_on_cancel,
    quote,
    repeated,
    request_refund,
    send_deferred,
    settle_debt,
)
from booking_payments.domain.decisions.observe_disputes import (
    disputed_amount,
    is_old_dispute_news,
    observe_dispute,
    withdrawn_amount,
)
from booking_payments.domain.decisions.observe_refunds import is_old_refund_news, is_release, observe_refund

__all__ = [
    "CANCEL_REFUSED",
    "HELD_BY_DISPUTE",
    "NEVER_SENT",
    "REFUSED_BY_DISPUTE",
    "RELEASE_REFUSED",
    "Facts",
    "NewIds",
    "Request",
    "booking_after",
    "cancels_all_the_same",
    "cancels_anew",
    "charges",
    "disputed_amount",
    "first_made_at",
    "give_up",
    "holds_in_vain",
    "intend_cancel",
    "intend_capture",
    "intend_confirm",
    "intend_create",
    "intend_release",
    "is_conclusive",
    "is_gone",
    "is_old_dispute_news",
    "is_old_intent_news",
    "is_old_refund_news",
    "is_release",
    "may_send",
    "must_wait",
    "needs_ending",
    "observe_dispute",
    "observe_intent",
    "observe_method",
    "observe_refund",
    "observe_verdict",
    "owes_late_refund",
    "paid_out_beyond",
    "promise_late_money",
    "promise_on_cancel",
    "quote",
    "release_after",
    "repeated",
    "request_refund",
    "require_payable",
    "send_deferred",
    "settle",
    "settle_debt",
    "start",
    "withdrawn_amount",
]
