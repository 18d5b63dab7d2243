"""The plugin. Payments are kept as bank transfers are: what counts here is all around them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from booking_payments.adapters.gateways.bank_transfer import (
    BANK_TABLES,
    METHOD,
    BankTransferEvents,
    BankTransferGateway,
    TransferStore,
)
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.gateway_plugin import (
    BuiltGateway,
    Check,
    CheckoutForm,
    Doctor,
    FormFacts,
    GatewayDependencies,
    GatewayPlugin,
    PeriodicTask,
    PluginCommand,
    TaskDependencies,
)
from booking_payments.ports.gateway_settings import GatewaySettings, setting

RUNS: Final[list[str | None]] = []
"""The webhook address of each run of the task."""


@frozen(kw_only=True)
class WalletSettings(GatewaySettings):
    """The key of the wallet."""

    key: str = setting("WALLET_KEY", missing="set it to the key of the wallet", secret=True)


class WalletGateway(BankTransferGateway):
    """The gateway port."""

    name = "wallet"


def build(given: GatewayDependencies) -> BuiltGateway:
    """The gateway, and the task that notes that it ran."""
    settings: WalletSettings = given.settings
    store = TransferStore.open(given.database_url, BANK_TABLES)
    gateway = WalletGateway(store, clock=given.clock, pay_to=f"wallet of {len(settings.key)} characters")

    def tasks(of: TaskDependencies) -> Iterable[PeriodicTask]:
        async def note() -> int:
            RUNS.append(of.webhook_address)
            return 1

        yield PeriodicTask(every=timedelta(milliseconds=1), work=note)

    return BuiltGateway(gateway=gateway, webhooks=BankTransferEvents(), close=store.close, tasks=tasks)


async def examine(settings: WalletSettings, gateway: Gateway) -> Sequence[Check]:
    """One check that fails, with its remedy."""
    return [Check("wallet", False, f"{gateway.name} is empty", "fill it")]


def shown(settings: WalletSettings, facts: FormFacts) -> Mapping[str, Any]:
    """What the form shows beside the price."""
    return {"method": METHOD, "owner": "<Ann & Bob>"}


def sources(settings: WalletSettings) -> Mapping[str, str]:
    """Where the form's script calls."""
    return {"connect-src": "https://wallet.example"}


PLUGIN: Final = GatewayPlugin(
    name="wallet",
    title="Wallet",
    build=build,
    settings=WalletSettings,
    checkout=CheckoutForm(
        package=__package__, methods=(METHOD,), context=shown, scripts=("wallet.js",), sources=sources
    ),
    doctor=Doctor(examine=examine),
    commands={"wallet": PluginCommand(target=f"{__package__}.commands:wallet", help="Say what the wallet holds.")},
)
