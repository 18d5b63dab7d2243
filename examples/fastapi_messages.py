"""FastAPI that changes its own rows by messages, each exactly once: `uvicorn fastapi_messages:app --app-dir examples`.

The row that says how far the messages were read is changed in the same transaction as the seat that a message is about.
Whenever this process is killed, both are done, or neither is. Any number of processes may run this.
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
# One show for all seats, so that the same customer who buys a seat twice finds the same booking.
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
    """The cursor of the last message that was dealt with; empty before the first."""

    __tablename__ = "progress"
    name: Mapped[str] = mapped_column(primary_key=True)
    cursor: Mapped[str] = mapped_column(default="")


async def apply(message: Message, session: AsyncSession) -> None:
    """Change the seat that the message is about. Types that nobody here knows are none of its business."""
    if message.type in STATUSES:
        name = str(message.data["booking_reference"])
        seat = await session.get(Seat, name) or Seat(name=name, changes=0)
        seat.status = STATUSES[message.type]
        seat.changes += 1
        session.add(seat)


async def catch_up(payments: BookingPayments, engine: AsyncEngine) -> int:
    """Deal with the messages that are new, each in a transaction of its own; returns how many those were."""
    async with AsyncSession(engine) as session:
        cursor = (await session.get_one(Progress, "payments")).cursor
    done = 0
    for message in await payments.messages(after=cursor or None):  # outside of our transaction
        async with AsyncSession(engine) as session, session.begin():
            # First of all: it locks the row, and changes nothing where another process has gone on meanwhile.
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
    """Deal with messages for ever."""
    while True:
        if not await catch_up(payments, engine):
            await asyncio.sleep(0.5)


async def open_seats() -> AsyncEngine:
    """The seats' database with its tables. A project of more than one file leaves those to Alembic."""
    engine = create_async_engine(SEATS_URL)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    with suppress(IntegrityError):  # it is there
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
