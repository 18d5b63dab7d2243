"""Bank transfers, settled by hand."""

from collections.abc import Mapping
from typing import Final

from booking_payments.adapters.gateways.bank_transfer import (
    BANK_TABLES,
    METHOD,
    BankTransferEvents,
    BankTransferGateway,
    BankTransferOperations,
    TransferStore,
)
from booking_payments.adapters.gateways.bank_transfer.settings import BankTransferSettings
from booking_payments.ports.gateway_plugin import (
    BuiltGateway,
    CheckoutForm,
    Doctor,
    FormFacts,
    GatewayDependencies,
    GatewayPlugin,
    PluginCommand,
)


def build(given: GatewayDependencies) -> BuiltGateway:
    """Bank transfers over tables in the service's database."""
    settings: BankTransferSettings = given.settings
    store = TransferStore.open(given.database_url, BANK_TABLES)
    gateway = BankTransferGateway(store, clock=given.clock, pay_to=settings.pay_to)
    return BuiltGateway(
        gateway=gateway,
        webhooks=BankTransferEvents(),
        close=store.close,
        refunds_by_hand=True,
        operations=lambda deps: BankTransferOperations(gateway, deps),
    )


def _form_context(settings: BankTransferSettings, facts: FormFacts) -> Mapping[str, object]:
    return {"method": METHOD, "transfer": facts.next_action.get("display_bank_transfer_instructions", {})}


PLUGIN: Final = GatewayPlugin(
    name="bank_transfer",
    title="Bank transfer",
    build=build,
    settings=BankTransferSettings,
    checkout=CheckoutForm(package=__package__, methods=(METHOD,), context=_form_context, act_title="Send the money"),
    commands={
        # Also in the table of ``entrypoints/cli/main.py``: help and completion import no plugin of this package.
        "transfers": PluginCommand(
            target="booking_payments.entrypoints.cli.transfers:transfers",
            help="List bank transfers and record their receipt and refunds.",
        )
    },
    doctor=Doctor(note="real money moves, and an operator says when it came"),
)
