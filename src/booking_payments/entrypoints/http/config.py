"""What a front end needs to know before it begins."""

from typing import Final

from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.endpoint import GET, Answer, Call, endpoint
from booking_payments.presentation.models import ConfigAnswer, Nothing


@endpoint(
    GET,
    "/api/payment/config/",
    Access.TOKEN,
    summary="The publishable key, and the house's terms",
    answers={200: ConfigAnswer},
)
async def config(call: Call[Nothing]) -> Answer:
    settings = call.services.settings
    content = ConfigAnswer(
        publishable_key=settings.stripe_publishable_key or None,
        gateway=call.services.gateway.name,
        gateways=list(call.services.payments.gateway_names),
        processing_fee_rate=f"{settings.processing_fee_rate:f}",
        retry_attempts=settings.retry_attempts,
    )
    return Answer(content=content)


ENDPOINTS: Final = (config,)
