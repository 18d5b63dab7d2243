"""What a front end needs to know before it begins."""

from litestar import get

from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.commands import GivenContext
from booking_payments.entrypoints.http.routing import for_token
from booking_payments.presentation.models import ConfigAnswer
from booking_payments.runtime.payment_config import gateway_terms


@get(
    "/api/payment/config",
    summary="The publishable key, and what payments are bound to",
    tags=["payment"],
    **for_token(Access.TOKEN),
)
async def config(context: GivenContext) -> ConfigAnswer:
    settings = context.services.settings
    return ConfigAnswer(
        publishable_key=next(filter(None, (each.publishable_key for each in gateway_terms(settings))), None),
        gateway=context.services.gateway.name,
        gateways=list(context.services.payments.gateway_names),
        processing_fee_rate=f"{settings.processing_fee_rate:f}",
        retry_attempts=settings.retry_attempts,
    )
