"""Webhook endpoints: create, change, delete."""

from typing import Final

from booking_payments.sandbox.emulator import objects
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.events import forget_endpoint
from booking_payments.sandbox.emulator.params import (
    Fields,
    boolean,
    checked_text,
    expand,
    listed,
    merged_metadata,
    metadata,
    new_metadata,
    not_modelled,
    text,
    web_address,
)
from booking_payments.sandbox.emulator.published import is_event_pattern, is_version
from booking_payments.sandbox.emulator.records import StripeAccount

KIND: Final = "webhook_endpoint"

_EVENTS: Final = checked_text(is_event_pattern, "Invalid event: {} is no type of event of Stripe's")

CREATE_FIELDS: Final[Fields] = {
    "url": web_address("http", "https", required=True),
    "enabled_events": listed(_EVENTS, required=True),
    "description": text(),
    "metadata": metadata(),
    "api_version": checked_text(is_version, "Invalid Stripe API version: {}"),
    **not_modelled("connect"),
    "expand": expand(),
}
UPDATE_FIELDS: Final[Fields] = {
    "url": web_address("http", "https"),
    "enabled_events": listed(_EVENTS),
    "description": text(),
    "disabled": boolean(),
    "metadata": metadata(),
    "expand": expand(),
}


def create(account: StripeAccount, params: Json, _: str) -> Json:
    """``POST /v1/webhook_endpoints``; only this answer has the secret."""
    id_ = account.new_id(KIND, "we")
    given = {name: params[name] for name in ("api_version", "description", "enabled_events", "url") if name in params}
    endpoint = account.add(
        KIND, id_, objects.webhook_endpoint(account, id_, **(given | {"metadata": new_metadata(params)}))
    )
    account.note(endpoint, secret=f"whsec_{account.token(32)}")
    return endpoint.body | {"secret": endpoint.private["secret"]}


def update(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/webhook_endpoints/{id}``; ``disabled`` stops its deliveries."""
    endpoint = account.require(KIND, id_)
    fields: Json = {name: params[name] for name in ("description", "enabled_events", "url") if name in params}
    if "metadata" in params:
        fields["metadata"] = merged_metadata(endpoint.body["metadata"], params["metadata"])
    if "disabled" in params:
        fields["status"] = "disabled" if params["disabled"] else "enabled"
    account.update(endpoint, **fields)
    if endpoint.body["status"] == "disabled":
        forget_endpoint(account, id_)
    return endpoint.body


def delete(account: StripeAccount, _: Json, id_: str) -> Json:
    """``DELETE /v1/webhook_endpoints/{id}``."""
    account.remove(account.require(KIND, id_))
    forget_endpoint(account, id_)
    return {"id": id_, "object": KIND, "deleted": True}
