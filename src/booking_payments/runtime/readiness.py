"""Whether the service can work: the database can be reached and has the schema of this version."""

from typing import Final

import anyio

from booking_payments.adapters.sql.migrations import current, head, is_newer, missing
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.runtime.services import Readiness

MISSING_SHOWN: Final = 3
"""How many missing tables and columns are named."""

READY_WITHIN_S: Final = 5
"""How long the database may take to answer. Probes of a load balancer give up at about the same time."""


async def readiness(storage: SqlStorage) -> Readiness:
    """Whether the database can be reached and has the schema of this version."""
    try:
        with anyio.fail_after(READY_WITHIN_S):
            revision = await current(storage.engine)
            lacking = await missing(storage.engine) if revision == head() else ()
    except Exception:
        return Readiness(database=False, migrations=False, detail="the database can't be reached; check DATABASE_URL")
    if lacking:
        what = f"the schema says that it is current, but has no {', '.join(lacking[:MISSING_SHOWN])}"
        more = f" and {len(lacking) - MISSING_SHOWN} more" if len(lacking) > MISSING_SHOWN else ""
        return Readiness(database=True, migrations=False, detail=f"{what}{more}; restore a backup of it")
    if revision == head():
        return Readiness(database=True, migrations=True)
    outdated = "the schema is not current; run: booking-payments migrate"
    newer = "the schema is of a newer release of booking-payments; install that one"
    return Readiness(database=True, migrations=False, detail=newer if is_newer(revision) else outdated)
