"""Decisions: which facts happen. Pure functions of the payment, what was asked or reported, time and new ids.

Intentions (``intend_...``) check the rules and say what we are about to ask of the gateway. Observations
(``observe_...``) judge what the gateway reports. ``settle`` ends an operation. None of them changes anything: the
facts they return are folded by ``payment.evolve``.

- ``intending``: what may be asked of the gateway, and how;
- ``intents``, ``observe_refunds``, ``observe_disputes``: applying what it reports;
- ``obligations``: what is to go back to a customer, and the refunds that do it;
- ``lost``: calls whose effect can't be found, and what may still turn up of them;
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
from booking_payments.domain.decisions.lost import (
    ARRIVES_WITHIN,
    NEVER_SENT,
    NOT_AT_GATEWAY,
    NOT_SENT_AGAIN,
    end_watch,
    is_lost,
    names_of_sending,
    next_walk_at,
    note_walk,
    observe_lost_intent,
    watch,
    watched_until,
)
from booking_payments.domain.decisions.obligations import (
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
from booking_payments.domain.decisions.observe_refunds import (
    is_old_refund_news,
    is_release,
    observe_refund,
    refund_of,
)

__all__ = [
    "ARRIVES_WITHIN",
    "CANCEL_REFUSED",
    "NEVER_SENT",
    "NOT_AT_GATEWAY",
    "NOT_SENT_AGAIN",
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
    "end_watch",
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
    "is_lost",
    "is_old_dispute_news",
    "is_old_intent_news",
    "is_old_refund_news",
    "is_release",
    "may_send",
    "must_wait",
    "names_of_sending",
    "needs_ending",
    "next_walk_at",
    "note_walk",
    "observe_dispute",
    "observe_intent",
    "observe_lost_intent",
    "observe_method",
    "observe_refund",
    "observe_verdict",
    "owes_late_refund",
    "paid_out_beyond",
    "promise_late_money",
    "promise_on_cancel",
    "quote",
    "refund_of",
    "release_after",
    "repeated",
    "request_refund",
    "require_payable",
    "send_deferred",
    "settle",
    "settle_debt",
    "start",
    "watch",
    "watched_until",
    "withdrawn_amount",
]
