"""Cash, invoices, vouchers and gift cards, recorded by operators."""

from typing import Final

from booking_payments.ports.gateway_plugin import BuiltGateway, Doctor, GatewayDependencies, GatewayPlugin


def build(given: GatewayDependencies) -> BuiltGateway:
    """Receipts over tables in the service's database."""
    from booking_payments.adapters.gateways.bank_transfer import (
        MANUAL_TABLES,
        BankTransferEvents,
        BankTransferOperations,
        TransferStore,
    )
    from booking_payments.adapters.gateways.manual.gateway import ManualGateway

    store = TransferStore.open(given.database_url, MANUAL_TABLES)
    gateway = ManualGateway(store, clock=given.clock)
    return BuiltGateway(
        gateway=gateway,
        webhooks=BankTransferEvents(),
        close=store.close,
        refunds_by_hand=True,
        operations=lambda deps: BankTransferOperations(gateway, deps),
        settle_refund=gateway.settle_refund,
    )


PLUGIN: Final = GatewayPlugin(
    name="manual",
    title="At the desk",
    build=build,
    recorded=True,
    doctor=Doctor(note="real money moves by hand, and an operator records it"),
)
