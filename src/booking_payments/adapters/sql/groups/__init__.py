"""Group commit on PostgreSQL: transactions that arrive together are read, decided and written together.

The transaction of a webhook or a payment has a few short statements. Its cost is one round trip for each of them, and
the
commit. A group needs two round trips, whatever its size. One statement reads everything that its members need; each
member
then runs its own work on that snapshot; one statement writes all changes and is a transaction by itself. Nothing is
locked in between. Instead the writing statement locks the rows that it changes, and writes nothing if any of them has
changed since it was read:

- a payment must have the version and the lease holder that were read;
- a booking must have the status and the number of payments that were read, and no other transaction may hold its lock:
  every other transaction that works on a booking locks it (see decision 6);
- sequence numbers, gateway ids, idempotency keys and events are unique.

A member whose work needs rows that were not read, or that raises an error, leaves the group and runs in its own
transaction. If writing fails, the group reads and decides once more, because the transaction that changed a row has
usually
committed by then. If it fails again, every member runs in its own transaction. So a group never waits for a lock, and
an
error of one member does not affect the others.

- ``queue``: collects members into groups;
- ``statements``: the two statements;
- ``member``: the database of one member: the shared unit of work loads from its snapshot and flushes into its batch;
- ``commit``: runs a group.
"""
