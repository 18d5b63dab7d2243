"""The account: every record of the model, with the clock, the ids and the changes still to be saved.

A record is Stripe's object (``body``) plus what Stripe keeps to itself (``private``). Handlers change
records through ``Account.update`` and ``Account.note`` only, so nothing is forgotten when the call ends.
"""

import random as random_module
import string
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import define, field, frozen

from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.errors import no_such
from booking_payments.sandbox.emulator.faults import Faults
from booking_payments.sandbox.emulator.store import Change, FakeStore

_ALPHABET: Final = string.ascii_letters + string.digits
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

OWNERS: Final = frozenset({"charge", "payment_intent"})
"""Fields with the id of the object to which others belong, by which they are listed."""

NOUNS: Final = {"payment_method": "PaymentMethod", "radar.early_fraud_warning": "early fraud warning"}
"""How Stripe's messages call an object, where it is not by its kind."""


@define(eq=False)
class Record:
    """One object of the account. ``seq`` orders records made in the same second."""

    kind: str
    id: str
    seq: int
    body: Json
    private: Json


@frozen
class RequestRef:
    """The request that is being answered, as events name it; all ``None`` when Stripe acts by itself.

    ``version``: the one that the request asks for; ``None``: the account's.
    """

    id: str | None = None
    idempotency_key: str | None = None
    version: str | None = None


@define(eq=False)
class StripeAccount:
    """The state of one Stripe account."""

    clock: Callable[[], datetime]
    random: random_module.Random
    follow_up_delay: timedelta
    livemode: bool
    api_version: str
    deliver_in_process: bool
    store: FakeStore | None
    amount_digits: int
    refused_in_action: frozenset[str] = frozenset()
    amount_in_action: bool = False
    bank_pages: str | None = None
    refunds_need_balance: bool = False
    faults: Faults = field(factory=Faults)
    agenda: list[tuple[int, int, str]] = field(factory=list)
    request: RequestRef = RequestRef()
    _tables: dict[str, dict[str, Record]] = field(factory=dict)
    _dirty: dict[tuple[str, str], Record | None] = field(factory=dict)
    _seq: int = 0
    balances: dict[str, int] = field(factory=dict)
    """The sum of all movements in each currency, without Stripe's fees; kept by ``balance.py``."""
    waiting_refunds: dict[str, None] = field(factory=dict)
    """Refunds that the balance did not cover, oldest first; kept by ``refunds.py``."""
    _owned: dict[tuple[str, str, str], dict[str, Record]] = field(factory=dict)
    """Records by kind and owner, so that a list of one owner does not read the whole table."""

    # --- time and ids

    def now_us(self) -> int:
        """Now, in microseconds since 1970 UTC."""
        return (self.clock() - _EPOCH) // _MICROSECOND

    def now(self) -> int:
        """Now, in whole seconds since 1970 UTC, as Stripe's ``created``."""
        return self.now_us() // 1_000_000

    def token(self, length: int = 24) -> str:
        """Random letters and digits."""
        return "".join(self.random.choices(_ALPHABET, k=length))

    def new_id(self, kind: str, prefix: str) -> str:
        """An unused id. A reseeded generator repeats itself after a restart, so used ids are skipped."""
        while (id_ := f"{prefix}_{self.token()}") in self.table(kind):
            pass
        return id_

    # --- records

    def table(self, kind: str) -> dict[str, Record]:
        """All records of a kind, oldest first."""
        return self._tables.setdefault(kind, {})

    def add(self, kind: str, id_: str, body: Json, **private: Any) -> Record:
        self._seq += 1
        record = Record(kind, id_, self._seq, body, private)
        self._put(record)
        return self._touch(record)

    def owned(self, kind: str, owner: str, id_: str) -> dict[str, Record]:
        """The records of a kind that belong to an object, oldest first; ``owner``: one of ``OWNERS``."""
        found = self._owned.get((kind, owner, id_), {}).values()
        return {record.id: record for record in sorted(found, key=lambda record: record.seq)}

    def _put(self, record: Record) -> None:
        self.table(record.kind)[record.id] = record
        self._own(record)

    def _own(self, record: Record) -> None:
        for key in _owners(record):
            self._owned.setdefault(key, {})[record.id] = record

    def _disown(self, record: Record) -> None:
        for key in _owners(record):
            self._owned.get(key, {}).pop(record.id, None)

    def find(self, kind: str, id_: str | None) -> Record | None:
        return self.table(kind).get(id_ or "")

    def get(self, kind: str, id_: str) -> Record:
        """A record that must be there: a missing one is an error of this model."""
        return self.table(kind)[id_]

    def require(self, kind: str, id_: str, *, param: str = "id", status: int = 404) -> Record:
        """A record that a request names; raises ``resource_missing``."""
        record = self.find(kind, id_)
        if record is None:
            raise no_such(NOUNS.get(kind, kind), id_, param=param, status=status)
        return record

    def update(self, record: Record, **fields: Any) -> Json:
        """Change fields of the object; returns their values before, as ``previous_attributes``."""
        previous = {name: copy_json(record.body.get(name)) for name in fields if record.body.get(name) != fields[name]}
        owners = OWNERS & previous.keys()
        if owners:
            self._disown(record)
        record.body.update(fields)
        if owners:
            self._own(record)
        self._touch(record)
        return previous

    def drop(self, record: Record, *names: str) -> Json:
        """Take fields out of the object; returns their values before."""
        self._disown(record)
        previous = {name: record.body.pop(name) for name in names if name in record.body}
        self._own(record)
        self._touch(record)
        return previous

    def note(self, record: Record, **private: Any) -> None:
        """Change what Stripe keeps to itself about an object."""
        record.private.update(private)
        self._touch(record)

    def remove(self, record: Record) -> None:
        del self.table(record.kind)[record.id]
        self._disown(record)
        self._dirty[record.kind, record.id] = None

    def _touch(self, record: Record) -> Record:
        self._dirty[record.kind, record.id] = record
        return record

    # --- the store

    def load(self) -> None:
        """Take over what the store kept."""
        if self.store is None:
            return
        for kind, id_, document in sorted(self.store.load(), key=lambda entry: int(entry[2]["seq"])):
            body, private = copy_json(document["body"]), copy_json(document["private"])
            self._put(Record(kind, id_, document["seq"], body, private))
            self._seq = max(self._seq, document["seq"])

    def flush(self) -> None:
        """Hand the changes to the store, in one piece."""
        changes = list(self._changes())
        self._dirty.clear()
        if changes and self.store is not None:
            self.store.save(changes)

    def _changes(self) -> Iterable[Change]:
        if self.store is None:
            return
        for (kind, id_), record in self._dirty.items():
            yield kind, id_, None if record is None else _document(record)


def _owners(record: Record) -> list[tuple[str, str, str]]:
    owners = ((name, record.body.get(name)) for name in OWNERS)
    return [(record.kind, name, id_) for name, id_ in owners if isinstance(id_, str)]


def _document(record: Record) -> Json:
    return {"seq": record.seq, "body": copy_json(record.body), "private": copy_json(record.private)}


def moment(microseconds: int) -> datetime:
    """Microseconds since 1970 as a UTC time."""
    return _EPOCH + microseconds * _MICROSECOND


def microseconds(span: timedelta) -> int:
    """A time span in whole microseconds."""
    return span // _MICROSECOND
