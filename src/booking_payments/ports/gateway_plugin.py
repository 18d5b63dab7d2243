"""Gateway plugins: one value with everything that the service needs to run a gateway.

Plugins are found by the entry point group ``booking_payments.gateways``, including those of this package. A gateway in
another package is a folder with a ``plugin.py`` and one line in that package's ``pyproject.toml``::

    [project.entry-points."booking_payments.gateways"]
    paypal = "my_package.paypal.plugin:PLUGIN"
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from attrs import field, frozen

from booking_payments.domain.instructions import ANY_METHOD, MethodChoice
from booking_payments.domain.money import Money
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.gateway_settings import GatewaySettings, ServiceFacts
from booking_payments.ports.webhooks import GatewayEvent, WebhookReader

GROUP: Final = "booking_payments.gateways"
"""The entry point group."""


async def _nothing_to_close() -> None:
    """Do nothing."""


@frozen(kw_only=True)
class GatewayDependencies:
    """The values from which a gateway is built.

    Attributes:
        settings: the plugin's own settings, an instance of ``GatewayPlugin.settings``.
        service: facts about the installation on which the settings may depend.
        database_url: the service's database, as SQLAlchemy URL with an async driver. It may contain a password.
        clock: the service's clock.
        own_address: the address of this service for browsers.
        max_amount_digits: digits of the largest amount, in the gateway's smallest units.
        max_per_s: largest number of requests to the gateway per second; 0: no limit.
        max_concurrent: largest number of concurrent requests to the gateway; 0: no limit.
    """

    settings: Any
    service: ServiceFacts
    database_url: str = field(repr=False)
    clock: Clock
    own_address: str
    max_amount_digits: int
    max_per_s: int
    max_concurrent: int


Receive = Callable[[bytes, Mapping[str, str]], Awaitable[object]]
"""Processes a webhook, given its body and its headers. Raises an error when it was not processed."""


@frozen(kw_only=True)
class TaskDependencies:
    """The dependencies of a gateway's periodic tasks.

    Attributes:
        receive_webhook: passes a webhook of this gateway to the service, within the process.
        webhook_address: the URL of this gateway's webhooks in this process, for a sender on this machine; None if the
            process does not listen.
    """

    receive_webhook: Receive
    webhook_address: str | None


@frozen(kw_only=True)
class PeriodicTask:
    """Work that is repeated while a process serves.

    It runs in every process that serves or embeds the library, so several processes may run it at the same time.

    Attributes:
        every: the pause between two runs.
        work: one run; returns how many items it processed. An error is logged, and the next run follows.
    """

    every: timedelta
    work: Callable[[], Awaitable[int]]


def _no_tasks(of: TaskDependencies) -> Iterable[PeriodicTask]:
    return ()


@frozen(kw_only=True)
class BuiltGateway:
    """A gateway that is ready to use.

    Attributes:
        gateway: the gateway port.
        webhooks: verifies and decodes the gateway's webhooks.
        webhook_names: the names in ``/api/webhooks/{name}/`` under which its webhooks are accepted; empty without
            webhooks.
        close: closes everything that ``build`` opened.
        settle_refund: records that the refund with this id was paid back, and returns the gateway event.
        refunds_by_hand: a refund waits until an operator pays it out.
        tasks: its periodic tasks.
        operations: makes the operators' use cases of this gateway, from the ``Dependencies`` narrowed to it; None if
            operators do nothing with it by hand.
        parts: objects that the pages and commands of this gateway use.
    """

    gateway: Gateway
    webhooks: WebhookReader
    webhook_names: Sequence[str] = ()
    close: Callable[[], Awaitable[None]] = _nothing_to_close
    settle_refund: Callable[[str], Awaitable[GatewayEvent]] | None = None
    refunds_by_hand: bool = False
    tasks: Callable[[TaskDependencies], Iterable[PeriodicTask]] = _no_tasks
    operations: Callable[[Any], Any] | None = None
    parts: Sequence[Any] = ()


def _no_addresses(settings: GatewaySettings) -> Mapping[str, str]:
    return {}


@frozen
class Check:
    """The result of one check of ``doctor``.

    Attributes:
        name: the subject of the check, in one or two words.
        ok: False if the service can't work.
        detail: the finding.
        remedy: what to do; with ``ok`` it makes the finding a warning.
    """

    name: str
    ok: bool
    detail: str
    remedy: str | None = None


@frozen(kw_only=True)
class Doctor:
    """The part of ``doctor`` for a gateway.

    Attributes:
        note: printed after the gateway's name if ``examine`` is None, such as whether real money moves.
        examine: checks the gateway, given its settings and the gateway port; None: it has no checks.
        addresses: returns the addresses of its requests by the name of their server, from the settings; ``doctor``
            prints whether a proxy is used.
        webhooks_remedy: what to do when many webhooks are refused for their signature. None: the gateway receives no
            webhooks over HTTP, so they are not counted.
    """

    note: str = "real money moves"
    examine: Callable[[Any, Gateway], Awaitable[Sequence[Check]]] | None = None
    addresses: Callable[[Any], Mapping[str, str]] = _no_addresses
    webhooks_remedy: str | None = None


@frozen(kw_only=True)
class PluginCommand:
    """A command of ``booking-payments`` that a gateway brings.

    Attributes:
        target: the module and the variable in it (``my_package.commands:paypal``) with a click command. It is imported
            when the command is run.
        help: one line for the list of commands.
    """

    target: str
    help: str


@frozen(kw_only=True)
class FormFacts:
    """What the checkout form of a gateway may show of the payment.

    Attributes:
        price: what the customer is charged.
        next_action: what the customer has to do, as the gateway reported it; empty while they only choose how to pay.
    """

    price: Money
    next_action: Mapping[str, Any]


def _nothing_shown(settings: GatewaySettings, facts: FormFacts) -> Mapping[str, Any]:
    return {}


SOURCES: Final = frozenset({"connect-src", "font-src", "frame-src", "img-src", "script-src", "style-src"})
"""The directives of the Content-Security-Policy to which a gateway may add sources."""


def _no_scripts(settings: GatewaySettings) -> Sequence[str]:
    return ()


def _no_sources(settings: GatewaySettings) -> Mapping[str, str]:
    return {}


@frozen(kw_only=True)
class CheckoutForm:
    """How customers pay by a gateway at the checkout.

    Templates (Jinja) and scripts are in the folder ``checkout`` of ``package``. Each form of a template contains
    ``{{ fields }}``: hidden fields with the form's token and key, the shown price and the gateway, without which it is
    refused. It is posted to ``{{ path }}/pay`` with a ``payment_method``; a script may post it to ``{{ path }}/intent``
    instead, which answers with the client secret, and to ``{{ path }}/look`` after the customer has acted. A template
    also reads ``path``, ``price``, ``title``, ``nonce`` and what ``context`` returns, has the filters of the pages, and
    translates with ``_``.

    Attributes:
        methods: the ids of payment methods that the form may send.
        package: where templates and scripts are. None: the form is one button that sends the first of ``methods``,
            and a customer who has to act gets a link to the address in ``redirect_to_url``.
        pay: the template of the form.
        act: the template for a customer who has to act.
        act_title: the title of the page while the customer has to act; None for the usual one.
        context: what the templates show beside that, from the settings and the payment.
        scripts: the names of scripts of ``package``, which are loaded deferred, in this order.
        remote_scripts: from the settings, the addresses of scripts elsewhere, which are loaded before those.
        sources: from the settings, what the Content-Security-Policy allows in addition, by directive (``SOURCES``).
        redirects: the customer comes back from the gateway's page, so the payment is given this page's address.
    """

    methods: Collection[str] = ()
    package: str | None = None
    pay: str = "pay.html"
    act: str = "act.html"
    act_title: str | None = None
    context: Callable[[Any, FormFacts], Mapping[str, Any]] = _nothing_shown
    scripts: Sequence[str] = ()
    remote_scripts: Callable[[Any], Sequence[str]] = _no_scripts
    sources: Callable[[Any], Mapping[str, str]] = _no_sources
    redirects: bool = False


@frozen(kw_only=True)
class DashboardLinks:
    """Where the gateway's own dashboard shows an object: https addresses, in which ``{id}`` stands for its id there.

    Attributes:
        payment: a payment, by the id of its intent.
        dispute: a dispute, where evidence is sent.
    """

    payment: str
    dispute: str


def _no_dashboard(settings: GatewaySettings) -> DashboardLinks | None:
    return None


@frozen(kw_only=True)
class GatewayTerms:
    """The settings of a gateway that apply to payments.

    Attributes:
        methods: which payment methods are accepted.
        booking_metadata: whether the metadata of bookings are sent to the gateway.
        publishable_key: the key with which browsers call the gateway; None if they do not.
    """

    methods: MethodChoice = ANY_METHOD
    booking_metadata: bool = False
    publishable_key: str | None = None


def _no_terms(settings: GatewaySettings) -> GatewayTerms:
    return GatewayTerms()


def _real_money(settings: GatewaySettings) -> bool:
    return True


@frozen(kw_only=True)
class GatewayPlugin:
    """A gateway before it is built.

    Attributes:
        name: its name in payments, settings and routes.
        title: its name for customers who choose how to pay.
        build: creates the gateway. Raises ``ValueError`` for a wrong setting, with the remedy as its text.
        settings: the class of its settings.
        terms: returns the settings that apply to payments, from an instance of ``settings``.
        event_types: the types of events that it knows; the metrics count these by name, and others together.
        extra: the extra of this package, or the package, with its imports; None if nothing has to be installed.
        moves_money: whether real money may move, from an instance of ``settings``.
        recorded: operators record its payments; customers cannot pay with it.
        for_development: no real money moves, so secrets may have defaults if only this machine can call.
        in_one_process: its state is in the process that serves, so workers and further processes cannot use it.
        doctor: what ``booking-payments doctor`` says of it.
        checkout: how customers pay by it at the checkout. None: they can't.
        dashboard: returns where its dashboard shows payments and disputes, from an instance of ``settings``; None
            without a dashboard.
        commands: its commands, by name. A name that ``booking-payments`` has already stays what it is.
    """

    name: str
    title: str
    build: Callable[[GatewayDependencies], BuiltGateway]
    settings: type[GatewaySettings] = GatewaySettings
    terms: Callable[[Any], GatewayTerms] = _no_terms
    event_types: Callable[[], Collection[str]] = frozenset
    extra: str | None = None
    moves_money: Callable[[Any], bool] = _real_money
    recorded: bool = False
    for_development: bool = False
    in_one_process: bool = False
    doctor: Doctor = Doctor()
    checkout: CheckoutForm | None = None
    dashboard: Callable[[Any], DashboardLinks | None] = _no_dashboard
    commands: Mapping[str, PluginCommand] = field(factory=dict)
