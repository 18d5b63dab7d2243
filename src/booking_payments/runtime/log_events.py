"""The events that this service logs: name, level, logger, fields and meaning of each.

``docs/reference/log-events.md`` is printed from this list, and a test compares it with every call of a logger in the
source. A name is ``subject.what_happened`` in snake case and does not change, so that searches and alerts can rely on
it; values that differ from line to line are fields. In addition to the listed fields, a line of an HTTP request has its
``correlation_id``, and a line with a traceback has ``exception``.
"""

from typing import Final

from attrs import frozen


@frozen
class LogEvent:
    """One event.

    Attributes:
        name: the value of the field ``event``.
        levels: the levels at which it is logged, the usual one first.
        logger: the logger; ``LOG_LEVEL`` applies to all, ``LOG_LEVEL_PAYMENTS`` to ``booking_payments.payments``.
        fields: names of its fields.
        meaning: when it is logged, and what to do about it if that is not obvious.
    """

    name: str
    levels: tuple[str, ...]
    logger: str
    fields: tuple[str, ...]
    meaning: str


def _event(name: str, levels: str, logger: str, fields: str, meaning: str) -> LogEvent:
    return LogEvent(name, tuple(levels.split()), f"booking_payments.{logger}", tuple(fields.split()), meaning)


LOG_EVENTS: Final = (
    _event(
        "background.pass_failed",
        "error",
        "background",
        "error",
        "A pass of background work raised an error. The next pass tries the failed items again.",
    ),
    _event(
        "console.log_in_rejected",
        "warning",
        "console",
        "reason",
        "A log-in at the OpenID provider proved nobody: the provider refused it, or its ID token is not valid.",
    ),
    _event(
        "console.provider_unavailable",
        "warning",
        "console",
        "reason",
        "The OpenID provider cannot be reached or used, so that operators need a token. `doctor` checks it.",
    ),
    _event(
        "console.role_missing",
        "warning",
        "console",
        "subject",
        "An account of the OpenID provider without a role tried to log in to the console.",
    ),
    _event(
        "console.too_many_log_ins",
        "warning",
        "console",
        "",
        "So many log-ins were finished at the OpenID provider at the same time that one was turned away.",
    ),
    _event(
        "console.work_failed",
        "error",
        "pages",
        "work cause",
        "A reconciliation, or a replay of webhooks, that an operator started in the console raised an error.",
    ),
    _event(
        "gateway.alert",
        "warning",
        "webhooks",
        "type event_id reason intent_id charge_id payment_id booking_reference",
        "A webhook that changes nothing in the books and needs an operator, such as an early fraud warning.",
    ),
    _event(
        "gateway.call",
        "info debug",
        "gateway",
        "call idempotency_key outcome code object_id seconds",
        "A call to the gateway has ended: `outcome` is `answered`, `replayed` or the error's name, `seconds` its "
        "duration. Calls that only read are logged at `DEBUG`, without a key.",
    ),
    _event(
        "gateway.methods_dropped",
        "warning",
        "gateway",
        "intent_id dropped left",
        "Stripe does not offer payment methods that the settings or the booking allow, for this amount or currency.",
    ),
    _event(
        "gateway.no_method_left",
        "error",
        "gateway",
        "intent_id allowed currency",
        "No allowed payment method fits the amount or currency. The intent is canceled; allow another method.",
    ),
    _event(
        "gateway.unreadable_objects",
        "info",
        "gateway",
        "path objects newest problem",
        "A list of the gateway contains objects that can't be read, in an unknown currency for example.",
    ),
    _event(
        "idempotency.response_not_stored",
        "warning",
        "http",
        "route",
        "The response of a request with an idempotency key could not be stored. A repetition finds the result in the "
        "journal.",
    ),
    _event(
        "message.channel_silent",
        "error",
        "background",
        "channel since waiting",
        "No process has delivered messages on this channel for ten minutes. Start one, or remove the channel.",
    ),
    _event(
        "message.delivery_failed",
        "warning",
        "messages",
        "message_id type channel error",
        "A try to deliver a message failed. It is repeated with growing delays.",
    ),
    _event(
        "metrics.books_unreadable",
        "warning",
        "metrics",
        "reason",
        "The database could not be read for `/metrics`; the gauges of the books are missing in this response.",
    ),
    _event(
        "page.failed",
        "error",
        "pages",
        "request_id page",
        "An unexpected error in a page of the checkout or the console. The response has status 500.",
    ),
    _event(
        "payment.operation",
        "info error",
        "payments",
        "operation outcome error status booking_reference payment_intent_id actor request_id idempotency_key",
        "A command over HTTP has ended, with its outcome and error code. At `ERROR` if the status is 500 or above. "
        "`idempotency_key` is true if the request had one.",
    ),
    _event(
        "payment.operation_failed",
        "warning",
        "payments",
        "error reason",
        "The internal reason of a response with status 500 or above, which the response does not contain.",
    ),
    _event(
        "rate_limits.store_unreachable",
        "warning",
        "throttle",
        "reason",
        "The shared store of the rate limits does not respond. For a while each process counts its own requests.",
    ),
    _event(
        "reconciliation.difference_left",
        "warning",
        "background",
        "code text payment_id",
        "A scheduled reconciliation found a difference that an operator has to resolve.",
    ),
    _event(
        "request.failed",
        "error",
        "http",
        "request_id method route",
        "An unexpected error in a request of the API. The response has status 500.",
    ),
    _event(
        "sandbox.deliveries_failed",
        "error",
        "sandbox",
        "",
        "The sandbox could not read its due webhooks. It tries again.",
    ),
    _event(
        "sandbox.request_failed",
        "error",
        "sandbox",
        "method path",
        "An unexpected error in a request to the sandbox. The response has status 500.",
    ),
    _event(
        "sandbox.webhook_failed",
        "debug",
        "sandbox",
        "event_type error",
        "A webhook of the sandbox could not be delivered. It is repeated with growing delays.",
    ),
    _event(
        "sandbox.webhook_not_processed",
        "warning",
        "sandbox",
        "error",
        "A webhook that the fake gateway hands over within the process was not processed. It is repeated.",
    ),
    _event(
        "serve.development_secret",
        "warning",
        "serve",
        "remedy",
        "Tokens are signed with the public development secret, as is allowed with the fake gateway on loopback.",
    ),
    _event("serve.listening", "info", "serve", "address", "The service accepts connections at this address."),
    _event(
        "serve.parent_ended",
        "warning",
        "serve",
        "",
        "The process that started this worker process has ended, so this one ends, too.",
    ),
    _event(
        "serve.rate_limits_per_worker",
        "warning",
        "serve",
        "remedy",
        "Each of several worker processes counts requests for the rate limits by itself.",
    ),
    _event(
        "serve.traces_unavailable",
        "warning",
        "serve",
        "remedy",
        "The environment asks for traces, but the packages of the extra `otel` are not installed.",
    ),
    _event(
        "serve.waiting_for_other_serve",
        "warning",
        "serve",
        "file process seconds",
        "Another `serve` uses the same SQLite file. This one waits for its end, for `seconds` at most.",
    ),
    _event(
        "serve.worker_ended",
        "warning",
        "serve",
        "pid exit_code",
        "A worker process ended that had served. It is replaced at once.",
    ),
    _event(
        "serve.worker_hung",
        "error",
        "serve",
        "pid",
        "A worker process has not responded for a minute. It is killed and replaced.",
    ),
    _event(
        "serve.worker_not_started",
        "error",
        "serve",
        "pid exit_code",
        "A worker process ended before it served. Another is started after a pause.",
    ),
    _event("serve.worker_ready", "info", "serve", "pid", "A worker process serves."),
    _event(
        "serve.worker_stop_timed_out",
        "error",
        "serve",
        "pid",
        "A worker process did not end in time when the service was stopped. It is killed.",
    ),
    _event(
        "webhook.processing_failed",
        "error",
        "webhooks",
        "",
        "An unexpected error while a webhook was processed. The gateway sends it again.",
    ),
    _event(
        "webhook.received",
        "info warning",
        "webhooks",
        "type event_id outcome error request_id correlation_id api_version",
        "A webhook was received: `outcome` is `processed`, `duplicate`, `ignored`, `refused` or `failed`. At `WARNING` "
        "for the last two.",
    ),
    _event(
        "worker.interrupted",
        "warning",
        "worker",
        "error begins_again_in_s",
        "The worker's queue ended, since PostgreSQL restarted for example. The worker starts it again.",
    ),
    _event(
        "worker.job_requeued",
        "warning",
        "worker",
        "task job_id",
        "The job of a worker that was killed is queued again.",
    ),
)
"""All events, by name."""
