"""The route by which a test answers the bank's 3-D Secure question in place of the customer. It exists only with the
fake gateway."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar import Request, post
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema
from litestar.params import Body, PathParameter
from litestar.response import Response

from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.http.routing import public
from booking_payments.presentation.models import AuthenticateCard
from booking_payments.runtime.services import Services

_ANSWER: Final = {"client_secret": "pi_..._secret_...", "outcome": "succeeded"}


@dataclass
class AnswersOfStripe(Operation):
    """Adds Stripe's error objects to the documented responses: a ``ResponseSpec`` can have one media type only."""

    def __post_init__(self) -> None:
        for status in ("400", "402", "404"):
            answer = (self.responses or {})[status]
            if isinstance(answer, OpenAPIResponse) and answer.content is not None:
                answer.content["application/json"] = OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT))


@post(
    "/_sandbox/payment_intents/{intent_id:str}/authenticate",
    summary="Play the customer in the bank's 3-D Secure window (answers as Stripe does)",
    tags=["sandbox"],
    operation_class=AnswersOfStripe,
    **public(errors={400, 402, 404}),
)
async def authenticate(
    intent_id: Annotated[str, PathParameter(description="the `payment_intent_id`")],
    data: Annotated[AuthenticateCard, Body(examples=[Example(value=_ANSWER)])],
    request: Request[Any, Any, Any],
) -> Response[dict[str, Any]]:
    services: Services = request.app.state["services"]
    if services.sandbox is None or not parsing.is_id(intent_id):
        raise RequestRefused(404, "not_found", "there is no such payment intent here")
    answer = services.sandbox.authenticate(intent_id, data.client_secret, data.outcome)
    return Response(answer.body, status_code=answer.status)
