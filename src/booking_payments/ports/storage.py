"""The storage port: transactions over bookings, payments, the inbox, stored responses and the outbox.

The booking is the unit of locking: a transaction that changes a booking or one of its payments locks the booking first,
so that all changes of one booking are serialized.
"""

from typing import Protocol, TypeVar

from booking_payments.ports.unit_of_work import LockScope, TransactionBody

T = TypeVar("T")


class StorageConflict(Exception):
    """Transactions kept conflicting (serialization failure, deadlock, lock timeout); nothing was changed."""


class StorageDown(StorageConflict):
    """The database cannot be reached, or accepts no writes; nothing was changed."""


class CommitLost(Exception):
    """The connection broke during the commit, so its outcome is unknown. Read before trying again."""


class AlreadyExists(Exception):
    """A unique value is taken: a reference, an intent id, an idempotency key, or the open payment of a booking."""


class Storage(Protocol):
    """Runs work in transactions."""

    async def transact(self, work: TransactionBody[T], scope: LockScope | None = None) -> T:
        """Run ``work`` in one transaction and commit it. Any error in it causes a rollback, and is raised.

        After a conflict with another transaction ``work`` runs again from the start, so it must have no other side
        effects. Work with the argument ``scope`` may share its transaction with other work that arrives at the same
        time; the result is the same.

        Raises:
            StorageConflict: repetitions did not resolve the conflict.
            CommitLost: the connection broke during the commit; nothing is repeated.
        """
        ...

    async def read(self, work: TransactionBody[T]) -> T:
        """Run ``work``, which only reads, on one consistent snapshot, without blocking writers."""
        ...
