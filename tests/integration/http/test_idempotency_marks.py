"""The mark of a key, step by step: which run works, which waits, which takes over, and whose response is stored."""

from datetime import datetime, timedelta

import anyio
import pytest
import structlog

from booking_payments.application.callers import Caller
from booking_payments.application.idempotency import Fate, KeyedRequest, fate_of
from booking_payments.domain.declines import Decline
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    CardDeclined,
    Contradiction,
    GatewayRefusedUs,
    InvalidInput,
    NotFound,
    NotPossibleNow,
    OutcomeUnknown,
    RefundRefused,
    RefusedByRule,
    TryAgainLater,
)
from booking_payments.entrypoints.http.auth import Principal
from booking_payments.entrypoints.http.idempotency import FORGOTTEN, Work, asked, key_of, once
from booking_payments.entrypoints.http.problems import RETRY_AFTER_S, EncodedResponse, RequestRefused, response_to
from booking_payments.ports.idempotency import ANSWER_LIFETIME
from booking_payments.ports.storage import CommitLost, StorageConflict, StorageDown
from booking_payments.presentation.models import CancelBooking
from booking_payments.runtime.services import Services
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.http.api import ANN, open_api, problem_of, services_of

ASKED = KeyedRequest(caller="ann", route="POST /x", key="a-key-of-some-length", fingerprint="f")
DONE = EncodedResponse(status=200, body=b'{"done":1}', media_type="application/json")
LEASE = timedelta(seconds=60)


def asking(cause: str) -> Caller:
    return Caller.customer("ann", cause)


@pytest.fixture
def kit() -> PaymentsTestKit:
    return PaymentsTestKit()


@pytest.fixture
def services(kit: PaymentsTestKit) -> Services:
    return services_of(kit)


def replying(reply: EncodedResponse, seen: list[tuple[str, bool]] | None = None) -> Work:
    async def work(caller: Caller) -> EncodedResponse:
        if seen is not None:
            seen.append((caller.cause.partition(" ")[0], caller.resumed))
        return reply

    return work


async def another(services: Services) -> EncodedResponse:
    """Return the error of another request with the same key meanwhile."""
    return await once(services, ASKED, asking("cause-2"), replying(DONE))


async def test_the_first_run_has_its_own_cause(services: Services) -> None:
    seen: list[tuple[str, bool]] = []

    reply = await once(services, ASKED, asking("cause-1"), replying(DONE, seen))

    assert reply == DONE
    assert seen == [("cause-1", False)]
    assert seen[0][1] is False


async def test_the_next_run_gets_the_stored_response_and_does_not_work(services: Services) -> None:
    await once(services, ASKED, asking("cause-1"), replying(DONE))
    seen: list[tuple[str, bool]] = []

    again = await once(services, ASKED, asking("cause-2"), replying(EncodedResponse(status=201, body=b""), seen))

    assert (again.status, again.body, again.media_type, seen) == (200, DONE.body, "application/json", [])
    assert again.headers == {"Idempotent-Replayed": "true"}


async def test_while_one_run_works_another_is_refused_with_a_retry_time(services: Services) -> None:
    told: list[RequestRefused] = []

    async def work(caller: Caller) -> EncodedResponse:
        with pytest.raises(RequestRefused) as refused:
            await another(services)
        told.append(refused.value)
        return DONE

    assert await once(services, ASKED, asking("cause-1"), work) == DONE
    assert (told[0].problem.status, told[0].problem.code) == (409, "idempotency_key_in_use")
    assert told[0].problem.retryable is True
    assert told[0].response.headers["Retry-After"] == str(RETRY_AFTER_S)


@pytest.mark.parametrize(
    ("after", "works"), [(timedelta(0), False), (LEASE - timedelta(microseconds=1), False), (LEASE, True)]
)
async def test_a_run_that_died_is_taken_over_when_its_lease_ends(
    kit: PaymentsTestKit, services: Services, after: timedelta, works: bool
) -> None:
    seen: list[tuple[str, bool]] = []

    async def first(caller: Caller) -> EncodedResponse:
        kit.clock.advance(after)  # the first run is still suspended here when the second starts
        try:
            await once(services, ASKED, asking("cause-2"), replying(DONE, seen))
        except RequestRefused as refused:
            assert refused.problem.status == 409  # noqa: PT017 - both ends are looked at below
        return EncodedResponse(status=422, body=b"too late")

    await once(services, ASKED, asking("cause-1"), first)

    assert seen == ([("cause-1", True)] if works else [])


async def test_the_response_of_the_run_that_took_over_is_stored(kit: PaymentsTestKit, services: Services) -> None:
    async def first(caller: Caller) -> EncodedResponse:
        kit.clock.advance(LEASE)
        await once(services, ASKED, asking("cause-2"), replying(DONE))
        return EncodedResponse(status=422, body=b"too late")

    await once(services, ASKED, asking("cause-1"), first)

    assert (
        await once(services, ASKED, asking("cause-3"), replying(EncodedResponse(status=500, body=b"")))
    ).body == DONE.body


async def test_a_run_that_was_taken_over_does_not_store_a_response(kit: PaymentsTestKit, services: Services) -> None:
    began, first_is_through = anyio.Event(), anyio.Event()

    async def slow(caller: Caller) -> EncodedResponse:
        await began.wait()
        return EncodedResponse(status=422, body=b"too late")

    async def second(caller: Caller) -> EncodedResponse:
        began.set()
        await first_is_through.wait()
        with pytest.raises(RequestRefused):  # the mark is still this run's
            await another(services)
        return DONE

    async with anyio.create_task_group() as tasks:

        async def run_first() -> None:
            await once(services, ASKED, asking("cause-1"), slow)
            first_is_through.set()

        tasks.start_soon(run_first)
        await anyio.wait_all_tasks_blocked()
        kit.clock.advance(LEASE)
        assert await once(services, ASKED, asking("cause-2"), second) == DONE

    replayed = await once(services, ASKED, asking("cause-3"), replying(EncodedResponse(status=500, body=b"")))
    assert (replayed.status, replayed.body) == (200, DONE.body)


async def test_a_mark_deleted_meanwhile_is_not_an_error(kit: PaymentsTestKit, services: Services) -> None:
    async def work(caller: Caller) -> EncodedResponse:
        await kit.payments.forget_answers(kit.clock.now() + ANSWER_LIFETIME)
        return DONE

    assert await once(services, ASKED, asking("cause-1"), work) == DONE


@pytest.mark.parametrize("status", [500, 501, 502, 503])
async def test_after_a_5xx_the_next_run_continues_at_once(services: Services, status: int) -> None:
    await once(services, ASKED, asking("cause-1"), replying(EncodedResponse(status=status, body=b"")))
    seen: list[tuple[str, bool]] = []

    assert await once(services, ASKED, asking("cause-2"), replying(DONE, seen)) == DONE
    assert seen == [("cause-1", True)]


async def test_after_an_exception_the_next_run_continues_at_once(services: Services) -> None:
    async def broken(caller: Caller) -> EncodedResponse:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await once(services, ASKED, asking("cause-1"), broken)
    seen: list[tuple[str, bool]] = []

    await once(services, ASKED, asking("cause-2"), replying(DONE, seen))

    assert seen == [("cause-1", True)]


@pytest.mark.parametrize("status", [400, 401, 403, 409, 429])
async def test_a_command_without_effect_frees_its_key(services: Services, status: int) -> None:
    await once(services, ASKED, asking("cause-1"), replying(EncodedResponse(status=status, body=b"")))
    seen: list[tuple[str, bool]] = []

    await once(services, ASKED, asking("cause-2"), replying(DONE, seen))

    assert seen == [("cause-2", False)]


async def test_a_key_expires_after_exactly_72_hours(kit: PaymentsTestKit, services: Services) -> None:
    await once(services, ASKED, asking("cause-1"), replying(DONE))
    seen: list[tuple[str, bool]] = []

    kit.clock.advance(ANSWER_LIFETIME - timedelta(microseconds=1))
    await once(services, ASKED, asking("cause-2"), replying(DONE, seen))
    assert seen == []

    kit.clock.advance(timedelta(microseconds=1))
    await once(services, ASKED, asking("cause-3"), replying(DONE, seen))
    assert seen == [("cause-3", False)]


async def test_a_run_has_the_time_until_which_it_may_start_operations(kit: PaymentsTestKit, services: Services) -> None:
    known: list[datetime | None] = []

    async def work(caller: Caller) -> EncodedResponse:
        known.append(caller.until)
        return DONE

    await once(services, ASKED, asking("cause-1"), work)

    assert known == [kit.clock.now() + LEASE]


@pytest.mark.parametrize("error", [StorageConflict, CommitLost])
async def test_a_response_that_cannot_be_stored_is_still_returned(
    kit: PaymentsTestKit, services: Services, error: type[Exception]
) -> None:
    async def work(caller: Caller) -> EncodedResponse:
        kit.storage.transact = fail  # type: ignore[method-assign,assignment]
        return DONE

    async def fail(*_: object) -> None:
        raise error

    with structlog.testing.capture_logs() as logs:
        assert await once(services, ASKED, asking("cause-1"), work) == DONE

    assert [(line["event"], line["route"]) for line in logs] == [("idempotency.response_not_stored", "POST /x")]


@pytest.mark.parametrize(
    "error",
    [
        CardDeclined(Decline(code="card_declined", message="no")),
        NotFound(),
        RefusedByRule("no"),
        InvalidInput("no"),
        NotPossibleNow("no"),
        AlreadyUnderWay(),
        TryAgainLater(),
        OutcomeUnknown(),
        GatewayRefusedUs(),
        RefundRefused(),
        Contradiction("no"),
        StorageConflict("busy"),
        CommitLost("lost"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_http_and_library_store_the_same_errors(error: Exception) -> None:
    status = response_to(error).status
    by_status = Fate.FORGOTTEN if status in FORGOTTEN else Fate.LAPSED if status >= 500 else Fate.KEPT

    assert fate_of(error) is by_status


# --- the identity of a key

OLGA = Principal(subject="olga", issuer="https://issuer.example", scopes=frozenset({"payments:operate"}))
GIVEN = CancelBooking(reason="rain", refund="full")


def test_a_stored_key_is_found_by_the_next_version() -> None:
    """Keys outlive a deployment, so their identity must not change by accident."""
    found = asked("a-key-of-some-length", OLGA, "POST", "/api/bookings/bk_1/cancel/", GIVEN)

    assert found == KeyedRequest(
        caller="7effefb1753c44913491f95caf8d30d2c1b3f64fcf1b6954c443942f6f508902",
        route="POST /api/bookings/bk_1/cancel",
        key="a-key-of-some-length",
        fingerprint="2df3be23193c6ff7f29d0e0840c9c0a1379da4aa58a36d8049139eb58a1f01f3",
    )


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"a quoted key of length"', "a quoted key of length"),
        ('"with \\"quotes\\" inside"', 'with "quotes" inside'),
        ('"with a \\\\ inside it"', "with a \\ inside it"),
        (" a bare key of length ", "a bare key of length"),
    ],
)
def test_a_key_is_parsed(header: str, key: str) -> None:
    assert key_of([header]) == key


@pytest.mark.parametrize("header", ["", '""', "short", '"unclosed key of length', "x" * 256, "t\u00e4b of some length"])
def test_a_malformed_key_is_refused(header: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        key_of([header])

    assert refused.value.problem.code == "idempotency_key_invalid"


def test_without_the_header_there_is_no_key() -> None:
    assert key_of([]) is None


# --- a database error before the work


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageConflict("busy"), "busy"),
        (StorageDown("away"), "storage_unavailable"),
        (CommitLost("the mark's own"), "busy"),
    ],
)
def test_a_key_that_cannot_be_marked_is_503_and_nothing_runs(error: Exception, code: str) -> None:
    with open_api() as api:
        booking_id = api.book()
        transact, calls = api.kit.storage.transact, len(api.kit.stripe.calls)

        async def fail(*_: object) -> None:
            api.kit.storage.transact = transact  # type: ignore[method-assign]
            raise error

        api.kit.storage.transact = fail  # type: ignore[method-assign,assignment]
        response = api.post(
            f"/api/bookings/{booking_id}/payment/intent/",
            ANN,
            headers={"Idempotency-Key": "a-key-of-some-length"},
            json={"payment_method_id": "pm_card_visa", "confirm_immediately": True},
        )

        assert (response.status_code, problem_of(response)["code"]) == (503, code)
        assert int(response.headers["retry-after"]) > 0
        assert len(api.kit.stripe.calls) == calls
