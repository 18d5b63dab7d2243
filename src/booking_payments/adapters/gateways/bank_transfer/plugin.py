"""Bank transfers, settled by hand."""

from typing import Final

from booking_payments.adapters.gateways.bank_transfer import (
    BANK_TABLES,
    BankTransferEvents,
    BankTransferGateway,
    TransferStore,
)
from booking_payments.ports.gateway_plugin import BuiltGateway, GatewayDependencies, GatewayPlugin, PluginSetting


def build(given: GatewayDependencies) -> BuiltGateway:
    """Bank transfers over tables in the service's database."""
    store = TransferStore.open(given.database_url, BANK_TABLES)
    gateway = BankTransferGateway(store, clock=given.clock, pay_to=given.settings["BANK_TRANSFER_PAY_TO"])
    return BuiltGateway(gateway=gateway, webhooks=BankTransferEvents(), close=store.close)


PLUGIN: Final = GatewayPlugin(
    name="bank_transfer",
    title="Bank transfer",
    build=build,
    settings=(
        PluginSetting(
            name="BANK_TRANSFER_PAY_TO", description="set it to the account that customers send their money to"
        ),
    ),
)
