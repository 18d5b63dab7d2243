"""The customer's side of the fake gateway: the bank's 3-D Secure window. Exists with the fake gateway only."""

import json
from typing import Any, Final

from booking_payments.entrypoints.http import door
from booking_payments.entrypoints.http.endpoint import POST, AnyRequest, public
from booking_payments.entrypoints.http.problems import Refused, Reply
from booking_payments.presentation.models import AuthenticateCard
from booking_payments.runtime.services import Services


@public(
    POST,
    "/_sandbox/payment_intents/{intent_id}/authenticate",
    summary="Play the customer in the bank's 3-D Secure window (answers as Stripe does)",
    body=AuthenticateCard,
    answers={200: dict[str, Any]},
    errors=frozenset({400, 402, 404}),
    example={"client_secret": "pi_..._secret_...", "outcome": "succeeded"},
)
async def authenticate(request: AnyRequest, services: Services) -> Reply:
    given = await door.read_body(request, AuthenticateCard)
    intent_id = str(request.path_params["intent_id"])
    if services.sandbox is None or not door.is_id(intent_id):
        raise Refused(404, "not_found", "there is no such payment intent here")
    answer = services.sandbox.authenticate(intent_id, given.client_secret, given.outcome)
    return Reply(status=answer.status, body=json.dumps(answer.body).encode())


ENDPOINTS: Final = (authenticate,)
