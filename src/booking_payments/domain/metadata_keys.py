"""Keys of the metadata that this service writes to the objects that it creates at a gateway."""

from typing import Final

INSTALLATION_ID: Final = "installation_id"
BOOKING_ID: Final = "booking_id"
PAYMENT_ID: Final = "payment_id"
BOOKING_REFERENCE: Final = "booking_reference"
CUSTOMER_KEY: Final = "customer_key"
CORRELATION_ID: Final = "correlation_id"
REFUND_ID: Final = "refund_id"
IDEMPOTENCY_KEY: Final = "idempotency_key"
"""Only of a refund that is sent again under a new key."""

OWN: Final = frozenset(
    {
        *(INSTALLATION_ID, BOOKING_ID, PAYMENT_ID, BOOKING_REFERENCE),
        *(CUSTOMER_KEY, CORRELATION_ID, REFUND_ID, IDEMPOTENCY_KEY),
    }
)
"""All of them; the metadata of a booking cannot contain these keys."""
