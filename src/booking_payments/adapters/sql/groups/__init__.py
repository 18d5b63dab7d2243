"""Many small transactions as one, on PostgreSQL: what arrives together is read, judged and written together.

The transaction of a webhook or of a payment is a handful of short statements, and what it costs is the way there and
back for each, and the commit. A group goes there twice, however large it is. One statement reads everything that its
members need; each member runs its own work on that, as if it were alone; one statement writes everything, and is a
transaction by itself. Nothing is locked in between. Instead the writing statement locks what it changes, and writes
nothing at all, and says so, when anything that was read has changed since:

- a payment's version, and who holds its lease, have to be what was read;
- a booking's status and the number of its payments, too, and nobody may have it locked: whoever works on a booking has
  it locked (see decision 6);
- numbers of a sequence, ids of the gateway, idempotency keys and events are taken once.

Only the usual case is served here. A member whose work needs anything that was not read, or that meets an error, is
left out and runs in a transaction of its own. When the writing fails the group reads and judges once more, since
whoever was faster has mostly committed by then; after that all of them run alone. So nothing waits for a lock here, and
no member suffers from another.

- ``queue``: who is served together with whom;
- ``statements``: the two statements;
- ``member``: the database as one member sees it: what the shared unit of work loads from and flushes to;
- ``commit``: the course of a group.
"""
