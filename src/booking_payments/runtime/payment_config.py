"""The payment configuration that the settings describe."""

from datetime import timedelta
from decimal import Decimal

from booking_payments.application.dependencies import DeliveryConfig, PaymentConfig
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.instructions import ANY_METHOD
from booking_payments.domain.refunds import RefundPolicy
from booking_payments.domain.retry import RetryPolicy
from booking_payments.ports.gateway_plugin import GatewayTerms
from booking_payments.runtime.settings import AfterDeadLetter, Settings


def gateway_terms(settings: Settings) -> list[GatewayTerms]:
    """What the settings of each gateway say of payments, the default gateway first."""
    return [plugin.terms(settings.of_gateway(name)) for name, plugin in settings.plugins.items()]


def payment_config_of(settings: Settings) -> PaymentConfig:
    """Fees, refunds, attempts and leases."""
    fees = FeePolicy(
        rate=settings.processing_fee_rate,
        fixed=settings.fee_fixed,
        minimum=settings.fee_min,
        maximum=settings.fee_max,
        payer=settings.fee_payer,
        on_refund=settings.fee_refund,
    )
    terms = gateway_terms(settings)
    return PaymentConfig(
        fees=fees,
        refunds=RefundPolicy(fee=settings.fee_refund),
        max_attempts=settings.retry_attempts,
        return_url=settings.return_url,
        statement_descriptor_suffix=settings.statement_descriptor_suffix,
        receipt_emails=settings.receipt_emails,
        booking_metadata=any(each.booking_metadata for each in terms),
        methods=next((each.methods for each in terms if each.methods != ANY_METHOD), ANY_METHOD),
        capture_by_customer=settings.capture_by_customer,
        customer_refunds=settings.customer_refunds,
        full_refund_cancels=settings.full_refund_cancels_booking,
        max_unpaid_bookings=settings.max_unpaid_bookings_per_customer,
        lease=timedelta(seconds=settings.operation_lease_s),
        deliveries=_deliveries_terms(settings),
        expiring_notice=timedelta(seconds=settings.booking_expiring_notice_s),
        time_zone=settings.business_time_zone,
    )


def _deliveries_terms(settings: Settings) -> DeliveryConfig:
    retry = DeliveryConfig().retry
    return DeliveryConfig(
        retry=RetryPolicy(
            max_tries=settings.messages_retry_attempts,
            first_delay=_seconds(settings.messages_retry_delay_s),
            max_delay=retry.max_delay,
        ),
        lease=timedelta(seconds=settings.operation_lease_s),
        skip_dead=settings.messages_after_dead_letter is AfterDeadLetter.CONTINUE,
    )


def retry_policy_of(settings: Settings) -> RetryPolicy:
    """How often a call to the gateway is tried."""
    return RetryPolicy(max_tries=settings.retry_attempts, first_delay=_seconds(settings.retry_delay_s))


def _seconds(given: Decimal) -> timedelta:
    return timedelta(microseconds=int(given * Decimal(1_000_000)))
