"""Bank transfers, settled by hand."""

from typing import Final

from booking_payments.adapters.gateways.bank_transfer.settings import BankTransferSettings
from booking_payments.ports.gateway_plugin import BuiltGateway, Doctor, GatewayDependencies, GatewayPlugin


def build(given: GatewayDependencies) -> BuiltGateway:
    """Bank transfers over tables in the service's database."""
    from booking_payments.adapters.gateways.bank_transfer import (
        BANK_TABLES,
        BankTransferEvents,
        BankTransferGateway,
        BankTransferOperations,
        TransferStore,
    )

    settings: BankTransferSettings = given.settings
    store = TransferStore.open(given.database_url, BANK_TABLES)
    gateway = BankTransferGateway(store, clock=given.clock, pay_to=settings.pay_to)
    return BuiltGateway(
        gateway=gateway,
        webhooks=BankTransferEvents(),
        close=store.close,
        operations=lambda deps: BankTransferOperations(gateway, deps),
    )


PLUGIN: Final = GatewayPlugin(
    name="bank_transfer",
    title="Bank transfer",
    build=build,
    settings=BankTransferSettings,
    doctor=Doctor(note="real money moves, and an operator says when it came"),
)
