"""Object-level access: every operation of the document, by every role, for an own, a foreign and an invented id.
Responses for a foreign and a missing object are identical.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.integration.http.api import Api, bearer
from tests.integration.http.routes import OPERATIONS
from tests.integration.http.test_access import ALLOWED, NEEDS_SCOPE, NOBODY

Json = dict[str, Any]
GUARDED = [pair for pair, operation in OPERATIONS.items() if operation["security"]]
OF_BOOKINGS = [(method, path) for method, path in GUARDED if "{booking_id}" in path or "{payment_id}" in path]
"""Operations on one booking, named by its id or its payment's."""

ROLES: Mapping[str, dict[str, str]] = {
    "anonymous": NOBODY,
    "owner": bearer("ann"),
    "other": bearer("bob"),
    "operator": bearer("olga", "payments:operate"),
    "booking app": bearer("app", "bookings:write"),
}
SUBJECTS = {"anonymous": "nobody", "owner": "ann", "other": "bob", "operator": "olga", "booking app": "app"}
MADE_UP = "bk_0123456789abcdefghijkl"
WHICH = ("own", "foreign", "made up")


def seen_by(method: str, path: str, role: str) -> set[str]:
    """For which of the three ids the role has access. A customer has access to an own booking wherever the owner
    has.
    """
    allowed = ALLOWED[method, path]
    if role == "anonymous" or ((method, path) in NEEDS_SCOPE and role not in allowed):
        return set()
    everywhere = role in allowed and role in ("operator", "booking app")
    return {"own", "foreign"} if everywhere else ({"own"} if "owner" in allowed else set())


def body_for(method: str, path: str) -> Json:
    """A valid body for the operation, so that only the id can be the reason for a refusal."""
    if method == "GET":
        return {}
    content = OPERATIONS[method, path]["requestBody"]["content"]["application/json"]
    return {"json": content.get("example", {})}


def bookings(api: Api, role: str) -> dict[str, str]:
    """Return the three ids; the existing bookings are paid."""
    own, foreign = api.book(customer_id=SUBJECTS[role]), api.book(customer_id="zoe")
    for booking_id, customer in ((own, SUBJECTS[role]), (foreign, "zoe")):
        assert api.pay(booking_id, who=bearer(customer)).status_code == 200
    return {"own": own, "foreign": foreign, "made up": MADE_UP}


def ask(api: Api, method: str, path: str, role: str, booking_id: str) -> httpx.Response:
    return api.send(method, api.path_of(path, booking_id), ROLES[role], **body_for(method, path))


def test_every_operation_is_in_the_matrix() -> None:
    assert set(GUARDED) == set(ALLOWED)
    assert len(OF_BOOKINGS) * len(ROLES) * len(WHICH) >= 150


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path"), OF_BOOKINGS)
def test_each_role_has_access_only_where_permitted(api: Api, method: str, path: str, role: str) -> None:
    ids = bookings(api, role)
    answers = {which: ask(api, method, path, role, ids[which]) for which in WHICH}

    entered = {which for which, answer in answers.items() if answer.status_code not in (401, 403, 404)}
    assert entered == seen_by(method, path, role), {which: answer.text for which, answer in answers.items()}
    if "foreign" not in entered:
        foreign, made_up = answers["foreign"], answers["made up"]
        assert (foreign.status_code, foreign.content) == (made_up.status_code, made_up.content)
        assert _headers(foreign) == _headers(made_up)


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name != "x-request-id"}


@pytest.mark.parametrize(("method", "path"), [pair for pair in OF_BOOKINGS if pair[0] == "POST"])
def test_a_refused_operation_changes_nothing(api: Api, method: str, path: str) -> None:
    foreign = api.paid(customer_id="ann")
    before = _all_about(api, foreign)

    ask(api, method, path, "other", foreign)

    assert _all_about(api, foreign) == before


def _all_about(api: Api, booking_id: str) -> list[Any]:
    base = f"/api/bookings/{booking_id}"
    paths = (f"{base}/", f"{base}/payment/status/", f"{base}/payment/events/")
    return [api.get(path, ROLES["operator"]).json() for path in paths]
