"""The codes of errors: ``code`` of a problem over HTTP, and ``code`` of the error that the library raises.

``docs/reference/errors.md`` is printed from this list, and a test compares it with the source. A code is stable; the
text of an error is not.
"""

from typing import Final

from attrs import frozen


@frozen
class ErrorCode:
    """One code.

    Attributes:
        code: the value of ``code``.
        status: the HTTP status that it comes with.
        meaning: the cause of the error.
        remedy: how the caller can resolve it.
    """

    code: str
    status: int
    meaning: str
    remedy: str


ERROR_CODES: Final = (
    # 400
    ErrorCode("bad_cursor", 400, "The cursor is none of this service's.", "Use `next_cursor` of a page unchanged."),
    ErrorCode("bad_request", 400, "This is no HTTP request that can be read.", "Look at what your client sends."),
    ErrorCode(
        "card_number_refused", 400, "A field holds a card number.", "Never send one; let the gateway's form take it."
    ),
    ErrorCode("duplicate_field", 400, "A field or query parameter is given twice.", "Give it once."),
    ErrorCode(
        "idempotency_key_invalid", 400, "The key is too short, too long or not printable.", "Send 16 to 255 characters."
    ),
    ErrorCode("invalid_amount", 400, "The text is no amount of this currency.", "Write `100.00`, in JPY `100`."),
    ErrorCode("currency_mismatch", 400, "Two amounts have different currencies.", "Use the booking's currency."),
    ErrorCode("invalid_channel", 400, "No channel of messages has such a name.", "Use lower-case letters and digits."),
    ErrorCode("invalid_cursor", 400, "The cursor is not that of a message.", "Use the last message's cursor."),
    ErrorCode("invalid_input", 400, "A field has the wrong type or value.", "`detail` names the field."),
    ErrorCode("invalid_limit", 400, "That many messages are not read at once.", "Ask for fewer."),
    ErrorCode("invalid_text", 400, "A text has characters that can't be stored.", "Leave out control characters."),
    ErrorCode("not_json", 400, "The body is no JSON object in UTF-8.", "Send `Content-Type: application/json`."),
    ErrorCode("not_a_form", 400, "A page was sent something other than its form.", "Send the form from its page."),
    ErrorCode("number_too_large", 400, "A number in the body is too large.", "Write amounts as text."),
    ErrorCode(
        "return_url_not_allowed",
        400,
        "`return_url`, `success_url` or `cancel_url` does not lie in an allowed origin.",
        "Add its origin to `PAYMENT_RETURN_URL_ORIGINS`.",
    ),
    ErrorCode("secret_refused", 400, "A field holds a secret key or a token.", "Keep it to yourself, and roll it."),
    ErrorCode("unknown_currency", 400, "No ISO 4217 currency has this code.", "Use lower case, such as `usd`."),
    ErrorCode(
        "unknown_cursor",
        400,
        "No message with this cursor was given out on this channel.",
        "Begin anew where the database was restored from a backup.",
    ),
    ErrorCode(
        "webhook_failed",
        400,
        "The event was stored, and processing it failed.",
        "Nothing: the gateway sends it again, and `webhooks replay` processes it.",
    ),
    ErrorCode("signature_missing", 400, "A webhook came without its signature.", "Look at the address and the proxy."),
    ErrorCode(
        "signature_malformed", 400, "The signature header can't be read.", "Check that no proxy changes the headers."
    ),
    ErrorCode("signature_stale", 400, "The signature is too old or of the future.", "Set this machine's clock."),
    ErrorCode(
        "signature_wrong", 400, "The signature does not fit the body.", "Check `STRIPE_WEBHOOK_SECRET` and the proxy."
    ),
    ErrorCode("body_malformed", 400, "The body of a signed webhook is no event.", "Look at the endpoint's settings."),
    ErrorCode("event_malformed", 400, "The body is no event of a bank transfer.", "Send the documented fields."),
    ErrorCode("gateway_not_configured", 400, "The webhook's gateway is not configured.", "Add it to the settings."),
    # 401, 403, 404
    ErrorCode("token_missing", 401, "No token was sent.", "Send `Authorization: Bearer ...`."),
    ErrorCode("token_invalid", 401, "The token is not valid or has expired.", "Get a new one."),
    ErrorCode("forbidden", 403, "The route accepts no caller.", "Use another one."),
    ErrorCode("form_not_ours", 403, "The form is not from this page, or too old.", "Load the page again."),
    ErrorCode(
        "session_ended",
        401,
        "In the console: the session ended before the form was sent.",
        "Log in, and send it again.",
    ),
    ErrorCode("missing_role", 403, "In the console: the role `payments:read` may look, not act.", "Ask an operator."),
    ErrorCode("missing_scope", 403, "The token lacks the scope.", "`detail` names it."),
    ErrorCode("not_found", 404, "No such booking or payment, or another customer's.", "Check the id and the token."),
    ErrorCode("method_not_allowed", 405, "The path does not take this method.", "See `/schema`."),
    # 402
    ErrorCode(
        "card_declined",
        402,
        "The bank declined. Other codes of declines are the gateway's: `expired_card`, `insufficient_funds`, ...",
        "Show `detail` to the customer and offer another method; `decline_code` and `advice` say more.",
    ),
    # 409
    ErrorCode("action_pending", 409, "The bank waits for the customer.", "Finish `next_action`, or name a method."),
    ErrorCode("already_paid", 409, "The booking is paid.", "Ask for a refund instead."),
    ErrorCode("already_received", 409, "The transfer was received before.", "Send a second receipt back."),
    ErrorCode("balance_needed", 409, "The new price exceeds the paid or held amount.", "Register another booking."),
    ErrorCode(
        "booking_canceled",
        409,
        "The booking was canceled, which also decided what goes back.",
        "Register it again under its reference. More money back: an operator refunds it.",
    ),
    ErrorCode("booking_expired", 409, "The hold of the booking has ended.", "Register it again under its reference."),
    ErrorCode("capture_method_fixed", 409, "The open payment has another capture method.", "Cancel it, start anew."),
    ErrorCode("disputed", 409, "The customer's bank disputes the payment.", "Wait for the dispute, or answer it."),
    ErrorCode(
        "event_canceled",
        409,
        "The event is canceled: it takes no new bookings and no payments.",
        "Register bookings of another event. What was paid goes back by the event's job.",
    ),
    ErrorCode("event_job_running", 409, "Another job of this event is running.", "Wait for its end."),
    ErrorCode(
        "event_refund_differs",
        409,
        "The event was canceled with another refund.",
        "Leave `refund` out; to give more back, cancel each of its bookings again with `full`.",
    ),
    ErrorCode("idempotency_key_in_use", 409, "The first request with this key still runs.", "Repeat it in a moment."),
    ErrorCode("no_intent", 409, "The payment has not reached the gateway.", "Repeat the request that started it."),
    ErrorCode("not_captured", 409, "The money is only authorized.", "Cancel the payment; no money was taken yet."),
    ErrorCode("not_paid", 409, "The payment has not succeeded.", "Cancel it; there is nothing to refund."),
    ErrorCode("not_possible", 409, "The present state does not allow this.", "Read the payment, and decide again."),
    ErrorCode("nothing_to_pay", 409, "The booking is free.", "It is confirmed; no payment is needed."),
    ErrorCode("operation_in_flight", 409, "Another operation on the payment runs.", "Repeat after `Retry-After`."),
    ErrorCode("payment_in_flight", 409, "The bank works on the payment.", "Wait for its outcome, then amend."),
    ErrorCode("price_changed", 409, "The booking has another price than was shown.", "Show the new one, ask again."),
    ErrorCode("quote_changed", 409, "Another amount would go back than was quoted.", "Ask for the quote again."),
    ErrorCode("reference_taken", 409, "A live booking with other content has this reference.", "Use another one."),
    ErrorCode("refund_ended", 409, "The refund of the bank transfer has ended.", "Nothing is left to record."),
    ErrorCode("transfer_given_up", 409, "The transfer was canceled before the money came.", "Send the money back."),
    ErrorCode("version_conflict", 409, "The booking changed since it was read.", "Read it, and decide again."),
    # 413, 414, 429
    ErrorCode("too_large", 413, "The body or the headers are too large.", "Send less than `detail` says."),
    ErrorCode("uri_too_long", 414, "The address is longer than 8 KiB.", "Send fewer parameters."),
    ErrorCode("too_many_requests", 429, "Too many requests.", "Wait as long as `Retry-After` says."),
    # 422
    ErrorCode("amend_not_allowed", 422, "Customers don't amend bookings.", "Use the booking app's token."),
    ErrorCode("amount_differs", 422, "Another amount was received than requested.", "Settle the difference first."),
    ErrorCode("amount_exceeds_authorized", 422, "More than was authorized.", "Capture at most the authorized amount."),
    ErrorCode("amount_exceeds_price", 422, "More than the booking costs now.", "Capture at most its price."),
    ErrorCode("amount_not_chargeable", 422, "Stripe charges this currency in steps.", "Round the amount to a step."),
    ErrorCode("amount_required", 422, "The amount is missing.", "Send `amount`."),
    ErrorCode("amount_too_large", 422, "Above the largest amount that can be charged.", "Split the booking."),
    ErrorCode("amount_too_small", 422, "Below the gateway's minimum.", "Charge more, or register it for 0.00."),
    ErrorCode("attempts_exhausted", 422, "No payment attempt is left.", "Register the booking again."),
    ErrorCode("capture_method_not_allowed", 422, "The booking was registered with another.", "Leave it out."),
    ErrorCode("currency_not_supported", 422, "The gateway does not charge this currency.", "Use another one."),
    ErrorCode("event_in_past", 422, "The event would lie in the past.", "Send a time that is ahead."),
    ErrorCode("event_started", 422, "The event has started.", "Operators may use `override` for refunds."),
    ErrorCode("exceeds_owed", 422, "Less than that is owed.", "Settle at most `refund_owed`."),
    ErrorCode("exceeds_refundable", 422, "More than can still be refunded.", "Ask for the quote first."),
    ErrorCode("expires_after_event", 422, "The hold would outlast the event's start.", "Send an earlier time."),
    ErrorCode("expiry_in_past", 422, "The hold would have ended already.", "Send a time that is ahead."),
    ErrorCode("gateway_for_operators", 422, "Customers can't pay by this gateway.", "Choose another one."),
    ErrorCode("gateway_unknown", 422, "No gateway of this installation has this name.", "`detail` names them."),
    ErrorCode("idempotency_key_reused", 422, "The key came with another request before.", "Use a new key."),
    ErrorCode("grace_in_past", 422, "The grace would have ended already.", "Send a time that is ahead."),
    ErrorCode("item_given_back", 422, "Fewer of this item are left.", "Read the booking's items."),
    ErrorCode("item_repeated", 422, "Two items have the same id.", "Give each its own."),
    ErrorCode("item_unknown", 422, "The booking has no item with this id.", "Read the booking's items."),
    ErrorCode("items_do_not_add_up", 422, "The items' sum is not the amount.", "Leave `amount` out."),
    ErrorCode("items_free", 422, "The named items cost nothing.", "Give them up by a cancel with `items`."),
    ErrorCode("metadata_key_reserved", 422, "This service writes this metadata key.", "Use another one."),
    ErrorCode("negative_amount", 422, "The price would be negative.", "Send 0.00 or more."),
    ErrorCode("no_items", 422, "The booking has no items.", "Leave `items` out."),
    ErrorCode("no_payment_method_left", 422, "No allowed method can pay this booking.", "Allow others."),
    ErrorCode("note_required", 422, "A note has to say why.", "Send `note`."),
    ErrorCode("nothing_left", 422, "Everything refundable is refunded.", "Nothing is left to refund."),
    ErrorCode("operators_only", 422, "Only operators record payments.", "Pay by another gateway."),
    ErrorCode("override_not_allowed", 422, "Only operators override refund rules.", "Leave `override` out."),
    ErrorCode("payment_method_required", 422, "There is no method to charge.", "Send `payment_method_id`."),
    ErrorCode("reason_not_allowed", 422, "Customers give no such reason.", "Leave `reason` out."),
    ErrorCode("refund_not_allowed", 422, "Customers don't choose the refund.", "Leave `refund` out."),
    ErrorCode("refunded_by_organizer", 422, "Only the organizer gives refunds.", "Ask the organizer."),
    ErrorCode("refused", 422, "A rule refuses the request.", "`detail` says which."),
    ErrorCode("too_late", 422, "The refund policy allows none so close to the event.", "Operators may `override`."),
    ErrorCode("too_many_unpaid_bookings", 422, "The customer holds too many unpaid bookings.", "Pay or cancel one."),
    # 500 to 503
    ErrorCode("illegal_transition", 500, "A bug of this service.", "Report it with `X-Request-Id`."),
    ErrorCode("internal_error", 500, "A bug of this service.", "Report it with `X-Request-Id`."),
    ErrorCode("our_fault", 500, "A bug or a wrong setting of this service.", "Run `booking-payments doctor`."),
    ErrorCode("payment_error", 500, "A bug of this service.", "Report it with `X-Request-Id`."),
    ErrorCode("contradiction", 502, "The gateway's answer does not fit the request.", "An operator looks at it."),
    ErrorCode("gateway_refused", 502, "The gateway refuses our key or request.", "Run `booking-payments doctor`."),
    ErrorCode("refund_refused", 502, "Canceled, but the gateway refused the refund.", "Cancel again later."),
    ErrorCode("busy", 503, "Too many requests change the same data.", "Repeat after `Retry-After`."),
    ErrorCode("gateway_unavailable", 503, "The gateway can't be reached; nothing happened.", "Repeat the request."),
    ErrorCode("not_ready", 503, "The service cannot work yet.", "`detail` names the cause."),
    ErrorCode(
        "outcome_unknown",
        503,
        "The call may have had its effect; the service finds out by itself.",
        "Do not pay again: read the status until it changes.",
    ),
    ErrorCode("storage_unavailable", 503, "The database can't be reached.", "Repeat after `Retry-After`."),
)
