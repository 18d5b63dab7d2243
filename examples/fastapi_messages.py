"""FastAPI that changes its own rows by messages, each exactly once: `uvicorn fastapi_messages:app --app-dir examples`.

The row that says how far the messages were read is changed in the same transaction as the seat that a message is about.
Whenever this process is killed, both are done, or neither is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from fastapi import FastAPI, Request
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from booking_payments import BookingPayments, Caller, Currency, Message, Money, NewBooking, open_payments

PRICE = Money.parse("100.00", Currency.USD)
STATUSES = {"booking.confirmed": "sold", "booking.canceled": "free", "booking.expired": "free"}


class Base(DeclarativeBase):
    """The tables of this service."""


class Seat(Base):
    """A seat, and how often it was changed by a message."""

    __tablename__ = "seats"
    name: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(default="free")
    changes: Mapped[int] = mapped_column(default=0)


class Progress(Base):
    """The cursor of the last message that was dealt with."""

    __tablename__ = "progress"
    name: Mapped[str] = mapped_column(primary_key=True)
    cursor: Mapped[str | None]


async def apply(message: Message, session: AsyncSession) -> None:
    """Change the seat that the message is about."""
    if message.type in STATUSES:
        name = str(message.data["booking_reference"])
        seat = await session.get(Seat, name) or Seat(name=name, changes=0)
        seat.status = STATUSES[message.type]
        seat.changes += 1
        session.add(seat)


async def catch_up(payments: BookingPayments, engine: AsyncEngine) -> int:
    """Deal with the messages that are new, each in a transaction of its own; returns how many those were."""
    async with AsyncSession(engine) as session:
        progress = await session.get(Progress, "payments")
        cursor = progress.cursor if progress else None
    done = 0
    for message in await payments.messages(after=cursor):  # outside of our transaction
        async with AsyncSession(engine) as session, session.begin():
            found = await session.get(Progress, "payments", with_for_update=True)
            mine = found or Progress(name="payments", cursor=None)
            if mine.cursor != cursor:
                break  # another process has gone on meanwhile
            await apply(message, session)
            mine.cursor = cursor = message.cursor
            session.add(mine)
        done += 1
    return done


async def follow(payments: BookingPayments, engine: AsyncEngine) -> None:
    """Deal with messages for ever."""
    while True:
        if not await catch_up(payments, engine):
            await asyncio.sleep(0.5)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine("sqlite+aiosqlite:///seats.sqlite3")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with open_payments(migrate=True) as payments:
        app.state.payments, app.state.engine = payments, engine
        following = asyncio.create_task(follow(payments, engine))
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/seats/{seat}/buy")
async def buy(seat: str, customer: str, card: str, request: Request) -> dict[str, bool]:
    payments: BookingPayments = request.app.state.payments
    starts = datetime.now(UTC) + timedelta(days=30)
    new = NewBooking(reference=seat, customer_id=customer, amount=PRICE, event_starts_at=starts)
    booking = (await payments.register_booking(new, Caller.service("seats", "buy"))).booking
    return {"paid": (await payments.process_booking_payment(booking, card)).success}


@app.get("/seats/{seat}")
async def show(seat: str, request: Request) -> dict[str, str | int]:
    async with AsyncSession(request.app.state.engine) as session:
        found = await session.get(Seat, seat)
    return {"status": found.status, "changes": found.changes} if found else {"status": "free", "changes": 0}
