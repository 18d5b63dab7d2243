"""FastAPI that applies each message to its own rows exactly once: `uvicorn fastapi_messages:app --app-dir examples`.

One transaction changes the seat of a message and the row with the cursor of the last message. If this process is
killed, both are changed or neither is. Any number of processes may run this.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from booking_payments import (
    BookingPayments,
    Caller,
    Currency,
    Message,
    Money,
    NewBooking,
    NotPossibleNow,
    PaymentError,
    open_payments,
)

PRICE = Money.parse("100.00", Currency.USD)
# All seats are for one show, so that a customer who buys a seat again gets the same booking.
STARTS = datetime(2100, 1, 1, 20, tzinfo=UTC)
STATUSES = {"booking.confirmed": "sold", "booking.canceled": "free", "booking.expired": "free"}
# On PostgreSQL it may be the database of the payments, which have a schema of their own there.
SEATS_URL = os.environ.get("SEATS_DATABASE_URL", "sqlite+aiosqlite:///seats.sqlite3")


class Base(DeclarativeBase):
    """The tables of this service."""


class Seat(Base):
    """A seat, and how often it was changed by a message."""

    __tablename__ = "seats"
    name: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(default="free")
    changes: Mapped[int] = mapped_column(default=0)


class Progress(Base):
    """The cursor of the last processed message; empty before the first."""

    __tablename__ = "progress"
    name: Mapped[str] = mapped_column(primary_key=True)
    cursor: Mapped[str] = mapped_column(default="")


async def apply(message: Message, session: AsyncSession) -> None:
    """Change the seat that the message is about. Messages of other types are ignored."""
    if message.type in STATUSES:
        name = str(message.data["booking_reference"])
        seat = await session.get(Seat, name) or Seat(name=name, changes=0)
        seat.status = STATUSES[message.type]
        seat.changes += 1
        session.add(seat)


async def catch_up(payments: BookingPayments, engine: AsyncEngine) -> int:
    """Process the new messages, each in a separate transaction; returns how many there were."""
    async with AsyncSession(engine) as session:
        cursor = (await session.get_one(Progress, "payments")).cursor
    done = 0
    for message in await payments.messages(after=cursor or None):  # outside of our transaction
        async with AsyncSession(engine) as session, session.begin():
            # This comes first: it locks the row, and changes no row if another process has processed the message.
            mine = (
                update(Progress).where(Progress.name == "payments", Progress.cursor == cursor).returning(Progress.name)
            )
            if (await session.execute(mine.values(cursor=message.cursor))).first() is None:
                break
            await apply(message, session)
        cursor = message.cursor or ""
        done += 1
    return done


async def follow(payments: BookingPayments, engine: AsyncEngine) -> None:
    """Process messages until the task is canceled."""
    while True:
        if not await catch_up(payments, engine):
            await asyncio.sleep(0.5)


async def open_seats() -> AsyncEngine:
    """Open the seats' database, and create its tables. A project with more than one file leaves these to Alembic."""
    engine = create_async_engine(SEATS_URL)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    with suppress(IntegrityError):  # the row exists already
        async with AsyncSession(engine) as session, session.begin():
            session.add(Progress(name="payments"))
    return engine


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = await open_seats()
    async with open_payments(migrate=True) as payments:
        app.state.payments, app.state.engine = payments, engine
        following = asyncio.create_task(follow(payments, engine))
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.exception_handler(PaymentError)
async def refused(request: Request, error: PaymentError) -> JSONResponse:
    status = 409 if isinstance(error, NotPossibleNow) else 422  # fastapi_app.py has a status for each
    return JSONResponse({"error": error.message, "code": error.code}, status)


@app.post("/seats/{seat}/buy")
async def buy(seat: str, customer: str, card: str, request: Request) -> dict[str, bool]:
    payments: BookingPayments = request.app.state.payments
    new = NewBooking(reference=seat, customer_id=customer, amount=PRICE, event_starts_at=STARTS)
    booking = (await payments.register_booking(new, Caller.service("seats", "buy"))).booking
    return {"paid": (await payments.process_booking_payment(booking, card)).success}


@app.get("/seats/{seat}")
async def show(seat: str, request: Request) -> dict[str, str | int]:
    async with AsyncSession(request.app.state.engine) as session:
        found = await session.get(Seat, seat)
    return {"status": found.status, "changes": found.changes} if found else {"status": "free", "changes": 0}
