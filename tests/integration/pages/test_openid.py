"""Log-in at an OpenID provider as a browser sees it: who is let in, in which browser, in which role, for how long."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from booking_payments.application.console_sessions import CHECK_AFTER, CHECKED_FOR
from booking_payments.ports.console_sessions import LogInWay, OperatorIdentity
from tests.integration.http.api import token
from tests.integration.pages.openid_site import OpenIdSite, open_openid_site
from tests.integration.pages.test_console import ACTIONS, PAGES
from tests.openid_provider import ISSUER, OLGA, Provider

SESSION = "__Host-booking_payments_console"
LOG_IN = "__Host-booking_payments_log_in"


@pytest.fixture(scope="module")
def opened() -> Iterator[OpenIdSite]:
    with open_openid_site() as site:
        yield site


@pytest.fixture
def site(opened: OpenIdSite) -> OpenIdSite:
    """The site as a new browser finds it, with a provider that behaves. The installation is shared."""
    opened.client.cookies.clear()
    fresh = Provider(opened.kit.clock, claims={**opened.provider.claims}, key=opened.provider.key)
    fresh.kid = opened.provider.kid
    for name in ("roles", "sign", "metadata", "down", "change_token"):
        setattr(opened.provider, name, getattr(fresh, name))
    opened.provider.claims = dict(OLGA)
    opened.kit.clock.advance(CHECKED_FOR)  # what the provider said is forgotten, and sessions of other tests have ended
    return opened


def test_an_operator_logs_in_at_the_provider_and_comes_to_the_page_they_wanted(site: OpenIdSite) -> None:
    page = site.get("/console/payments?status=failed").headers["location"]
    assert f"https://testserver.local/console/login/openid?{urlsplit(page).query}" in site.get(page).text
    answer = site.log_in_there(urlsplit(page).query.removeprefix("next="))

    assert (answer.status_code, answer.headers["location"]) == (303, "/console/payments?status=failed")
    assert "Olga Example" in site.get("/console/").text
    cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith(SESSION))
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/;", "Secure"))


def test_the_audit_trail_names_the_operator_and_the_subject(site: OpenIdSite) -> None:
    site.log_in_there()
    booking_id = site.book(reference="R-cancel")
    site.get(f"/console/bookings/{booking_id}/cancel?look=1&refund=policy")
    answer = site.post(f"/console/bookings/{booking_id}/cancel", site.hidden(f"/console/bookings/{booking_id}/cancel"))
    assert answer.status_code == 303, answer.text

    canceled, _, log_in = site.run(site.kit.storage.read, lambda uow: uow.audit.latest(3))
    assert canceled.actor == log_in.actor == "operator:Olga Example <olga@example.com> (248289761001)"
    assert (log_in.operation, log_in.asked["role"]) == ("console_log_in", "payments:operate")


def test_an_address_that_is_not_verified_is_not_in_the_audit_trail(site: OpenIdSite) -> None:
    """Whoever has an account could name any address."""
    site.provider.claims = {"sub": "1", "email": "boss@example.com", "preferred_username": "boss@example.com"}
    site.log_in_there()
    (record,) = site.run(site.kit.payments.audit_trail, None, 1)

    assert record.actor == "operator:1 at https://id.example"
    assert "boss" not in site.get("/console/sessions").text


# --- roles


def test_a_viewer_sees_every_page_and_no_form(site: OpenIdSite) -> None:
    site.provider.roles = ["payments:read"]
    site.log_in_there()
    booking_id = site.paid(reference="R-look")
    payment_id = site.payment_of(booking_id).id
    assert "you may look at everything" in site.get("/console/").text

    for path in PAGES:
        answer = site.get(path.replace("bk_x", booking_id).replace("pay_x", payment_id).replace("ev_x", "ev_1"))
        if "text/html" in answer.headers["content-type"] and path != "/console/sessions":
            assert answer.text.count('<form method="post"') <= answer.text.count('action="/console/logout"'), path


def test_who_may_look_is_offered_nothing_that_they_may_not_do(site: OpenIdSite) -> None:
    booking_id = site.paid(reference="R-offered", event_id="ev_offered")
    payment_id = site.payment_of(booking_id).id
    offers = {
        f"/console/payments/{payment_id}": "Look at the quote",
        f"/console/bookings/{booking_id}": "Cancel the booking",
        "/console/events/ev_offered": "Cancel the event",
        f"/console/payments/{payment_id}/refund?amount=1.00": "Give the money back",
        f"/console/bookings/{booking_id}/cancel?look=1&refund=policy": 'id="confirm"',
        "/console/record": 'id="receipt"',
    }
    site.log_in_there()
    assert [path for path, offer in offers.items() if offer not in site.get(path).text] == ["/console/record"]

    site.provider.roles = ["payments:read"]
    site.log_in_there()
    assert [path for path, offer in offers.items() if offer in site.get(path).text] == []
    assert "At most 100.00 USD can be refunded" in site.get(f"/console/payments/{payment_id}").text


@pytest.mark.parametrize("path", [path for path in ACTIONS if path not in ("/console/logout", "/console/sessions/end")])
def test_a_viewer_may_not_send_a_form(site: OpenIdSite, path: str) -> None:
    site.provider.roles = ["payments:read"]
    site.log_in_there()
    site.get("/console/sessions")

    answer = site.post(path, {**site.hidden("/console/logout"), "key": "k" * 20})

    assert answer.status_code == 403
    assert "payments:operate" in answer.text


def test_a_viewers_token_opens_the_console_read_only(site: OpenIdSite) -> None:
    site.post("/console/login", {"token": token("rita", "payments:read"), "next": ""})

    assert "you may look at everything" in site.get("/console/").text
    assert (
        site.client.get(
            "/api/payments/", headers={"Authorization": f"Bearer {token('rita', 'payments:read')}"}
        ).status_code
        == 403
    )


@pytest.mark.parametrize("roles", [[], "admin", ["payments:write"], None])
def test_an_operator_without_a_role_is_refused_by_name(site: OpenIdSite, roles: object) -> None:
    site.provider.roles = roles
    answer = site.log_in_there()

    assert answer.status_code == 403
    assert "Olga Example" in answer.text
    assert "payments:read" in answer.text
    assert not site.is_logged_in()


def test_a_role_lost_at_the_provider_is_lost_in_all_browsers_at_the_next_log_in(site: OpenIdSite) -> None:
    other = site.other_browser()
    site.log_in_there()
    other.log_in_there()
    assert other.is_logged_in()

    site.provider.roles = ["payments:read"]
    site.log_in_there()

    assert "you may look at everything" in site.get("/console/").text
    assert not other.is_logged_in()


def test_an_operator_who_lost_all_roles_is_logged_out_of_all_browsers(site: OpenIdSite) -> None:
    other = site.other_browser()
    other.log_in_there()
    site.provider.roles = []
    site.log_in_there()

    assert not other.is_logged_in()


# --- which browser


def test_the_callback_is_refused_in_another_browser(site: OpenIdSite) -> None:
    """Otherwise an attacker could log a victim in to the attacker's account."""
    other = site.other_browser()
    callback = site.provider.authorize(site.begin())

    answer = other.come_back(callback)

    assert answer.status_code == 400
    assert "begun in another browser" in answer.text
    assert SESSION not in other.client.cookies
    other.begin()
    assert other.come_back(callback).status_code == 400


def test_a_callback_works_once(site: OpenIdSite) -> None:
    url = site.begin()
    held = site.client.cookies[LOG_IN]
    callback = site.provider.authorize(url)
    assert site.come_back(callback).status_code == 303

    session = site.client.cookies[SESSION]
    assert site.come_back(callback).headers["location"] == "/console/"
    assert site.client.cookies[SESSION] == session
    site.client.cookies.set(LOG_IN, held, domain="testserver.local", path="/")
    again = site.come_back(callback)
    assert again.status_code == 400
    assert "did not succeed" in again.text


def test_several_tabs_that_ask_the_provider_at_the_same_time_all_come_back(site: OpenIdSite) -> None:
    first, second = site.begin("/console/payments"), site.begin("/console/disputes")
    assert site.come_back(site.provider.authorize(second)).headers["location"] == "/console/disputes"

    assert site.come_back(site.provider.authorize(first)).headers["location"] == "/console/"
    assert site.is_logged_in()


@pytest.mark.parametrize("change", ["state=other", "state=", "nothing"])
def test_a_callback_needs_its_state(site: OpenIdSite, change: str) -> None:
    asked = parse_qs(urlsplit(site.provider.authorize(site.begin())).query)

    assert site.get(f"/console/login/openid/callback?code={asked['code'][0]}&{change}").status_code == 400
    assert not site.is_logged_in()


def test_a_cookie_of_another_host_of_the_domain_is_not_read(site: OpenIdSite) -> None:
    """Such a host can set cookies for the domain, but none whose name begins with ``__Host-``."""
    callback = site.provider.authorize(site.begin())
    held = site.client.cookies[LOG_IN]
    site.client.cookies.clear()
    site.client.cookies.set("booking_payments_log_in", held, domain="testserver.local", path="/")

    assert site.come_back(callback).status_code == 400


def test_the_session_has_a_new_secret_after_each_log_in(site: OpenIdSite) -> None:
    site.client.cookies.set(SESSION, "f" * 43, domain="testserver.local", path="/")
    site.log_in_there()
    first = site.client.cookies[SESSION]
    assert first != "f" * 43
    site.log_in_there()

    assert site.client.cookies[SESSION] != first
    site.client.cookies.clear()
    site.client.cookies.set(SESSION, first, domain="testserver.local", path="/")
    assert not site.is_logged_in()


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/console/../x", "/checkout/x", "javascript:x"],
)
def test_a_log_in_leads_to_a_page_of_the_console_only(site: OpenIdSite, wanted: str) -> None:
    assert site.log_in_there(wanted).headers["location"] == "/console/"


def test_a_link_on_another_site_begins_no_log_in(site: OpenIdSite) -> None:
    answer = site.get("/console/login/openid", headers={"Sec-Fetch-Site": "cross-site"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/console/login")


# --- how often


def test_made_up_codes_are_limited_before_the_provider_is_asked() -> None:
    with open_openid_site(RATE_LIMIT_ENABLED="true", RATE_LIMIT_ADDRESS="40/minute") as site:
        parts = urlsplit(site.provider.authorize(site.begin(), code="made-up"))
        held = site.client.cookies[LOG_IN]
        statuses = []
        for _ in range(12):
            site.client.cookies.set(LOG_IN, held, domain="testserver.local", path="/")
            statuses.append(site.get(f"{parts.path}?{parts.query}").status_code)

        assert (statuses[0], statuses[-1]) == (400, 429)
        assert site.provider.requests.count("/token") == statuses.count(400) < 12
        assert "Too many requests" in site.seen


def test_guesses_of_tokens_at_the_same_address_keep_nobody_out_of_the_provider() -> None:
    with open_openid_site(RATE_LIMIT_ENABLED="true", RATE_LIMIT_ADDRESS="40/minute") as site:
        while site.client.get("/api/payments/", headers={"Authorization": "Bearer x"}).status_code != 429:
            pass

        assert site.log_in_there().status_code == 303


# --- what the provider says instead


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        ("access_denied", 403, "You were not let in"),
        ("invalid_scope", 400, "did not succeed"),
        ("<b>", 400, "did not"),
        ("server_error", 503, "can&#39;t be reached"),
        ("temporarily_unavailable", 503, "Nothing is wrong with your account"),
    ],
)
def test_an_error_of_the_provider_is_explained(site: OpenIdSite, error: str, status: int, text: str) -> None:
    answer = site.log_in_there(error=error, error_description="<script>call this number</script>")

    assert answer.status_code == status
    assert text in answer.text
    assert "call this number" not in answer.text


def test_a_wrong_id_token_opens_no_session_and_its_fault_is_not_shown(site: OpenIdSite) -> None:
    site.provider.change_token = lambda claims: {**claims, "nonce": "another"}
    answer = site.log_in_there()

    assert answer.status_code == 400
    assert "invalid" not in answer.text
    assert not site.is_logged_in()


def test_while_the_provider_is_down_a_token_still_opens_the_console(site: OpenIdSite) -> None:
    site.provider.down = True
    answer = site.get("/console/login/openid")

    assert answer.status_code == 503
    assert "log in with an operator token" in answer.text
    site.log_in()
    assert site.is_logged_in()


# --- how long


def test_the_provider_is_asked_again_after_half_an_hour(site: OpenIdSite) -> None:
    site.log_in_there()
    site.kit.clock.advance(CHECK_AFTER - timedelta(minutes=1))
    assert site.get("/console/payments").status_code == 200
    site.kit.clock.advance(timedelta(minutes=1))

    answer = site.get("/console/payments")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/login/openid?next=/console/payments")
    before = site.client.cookies[SESSION]
    site.come_back(site.provider.authorize(site.get(answer.headers["location"]).headers["location"]))
    assert site.get("/console/payments").status_code == 200
    assert site.client.cookies[SESSION] != before


def test_a_form_is_still_taken_until_the_hour_is_over(site: OpenIdSite) -> None:
    """A redirect to the provider would lose the typed form. An operator deleted there can act for an hour at most."""
    site.log_in_there()
    site.get("/console/sessions")
    form = site.hidden("/console/logout")
    site.kit.clock.advance(CHECK_AFTER - timedelta(minutes=1))
    assert site.post("/console/drift/run", {**form, "days": "1"}).headers["location"].startswith("/console/drift")
    site.kit.clock.advance(CHECK_AFTER - timedelta(minutes=1))
    assert site.post("/console/drift/run", {**form, "days": "1"}).headers["location"].startswith("/console/drift")
    site.kit.clock.advance(timedelta(minutes=2))

    assert site.post("/console/drift/run", form).status_code == 401


def test_an_open_form_is_still_taken_after_the_provider_was_asked_again(site: OpenIdSite) -> None:
    site.log_in_there()
    site.get("/console/sessions")
    form = site.hidden("/console/logout")
    site.kit.clock.advance(CHECK_AFTER - timedelta(minutes=1))
    site.get("/console/")
    site.kit.clock.advance(timedelta(minutes=1))
    before = site.client.cookies[SESSION]
    assert site.log_in_there("/console/payments").status_code == 303  # in another tab

    assert site.client.cookies[SESSION] != before
    assert site.post("/console/drift/run", {**form, "days": "1"}).headers["location"].startswith("/console/drift")


def test_a_form_that_came_too_late_is_taken_once_its_operator_has_logged_in_again(site: OpenIdSite) -> None:
    site.log_in_there()
    site.get("/console/sessions")
    form = {**site.hidden("/console/logout"), "days": "1"}
    site.kit.clock.advance(CHECKED_FOR)

    late = site.post("/console/drift/run", form)
    assert late.status_code == 401
    assert "Log in in another tab, then load this page again" in late.text
    site.log_in_there()
    assert site.post("/console/drift/run", form).headers["location"].startswith("/console/drift")


@pytest.mark.parametrize("ended_by", ["log-out", "another operator"])
def test_a_form_ends_with_its_session_when_the_operator_logs_out_or_another_logs_in(
    site: OpenIdSite, ended_by: str
) -> None:
    site.log_in_there()
    site.get("/console/sessions")
    form = site.hidden("/console/logout")
    if ended_by == "log-out":
        site.post("/console/logout", form)
    else:
        site.provider.claims["sub"] = "1"
    site.log_in_there()

    assert site.post("/console/drift/run", {**form, "days": "1"}).status_code == 403


def test_a_session_continues_while_the_provider_is_down(site: OpenIdSite) -> None:
    site.log_in_there()
    site.kit.clock.advance(CHECK_AFTER - timedelta(minutes=1))
    site.get("/console/")
    site.kit.clock.advance(timedelta(minutes=1, seconds=1))
    site.provider.down = True
    site.run(_forget, site)

    answer = site.get(site.get("/console/payments").headers["location"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/payments")
    assert site.get("/console/payments").status_code == 200


@pytest.mark.parametrize("fault", ["down", "server_error"])
def test_who_is_logged_in_goes_on_when_the_provider_fails_in_the_middle(site: OpenIdSite, fault: str) -> None:
    site.log_in_there()
    site.kit.clock.advance(CHECK_AFTER - timedelta(minutes=1))
    site.get("/console/")
    site.kit.clock.advance(timedelta(minutes=1, seconds=1))
    url = site.begin("/console/payments")
    callback = site.provider.authorize(url, **({"error": fault} if fault != "down" else {}))
    site.provider.down = fault == "down"

    answer = site.come_back(callback)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/payments")
    assert site.get("/console/payments").status_code == 200
    site.kit.clock.advance(CHECKED_FOR - CHECK_AFTER)
    assert not site.is_logged_in()


async def _forget(site: OpenIdSite) -> None:
    """The discovery document is read again."""
    site.client.app.state["services"].identity_provider._metadata = None


def test_an_idle_session_ends(site: OpenIdSite) -> None:
    site.log_in_there()
    site.kit.clock.advance(timedelta(minutes=29))
    assert site.is_logged_in()
    site.kit.clock.advance(timedelta(minutes=30))

    assert site.get("/console/").headers["location"] == "/console/login"


def test_a_session_by_token_ends_after_eight_hours_of_use(site: OpenIdSite) -> None:
    site.log_in()
    for _ in range(19):
        site.kit.clock.advance(timedelta(minutes=25))
        assert site.is_logged_in()
    site.kit.clock.advance(timedelta(minutes=5))

    assert not site.is_logged_in()


@pytest.fixture
def site_of_today() -> Iterator[OpenIdSite]:
    """A site at the time of this machine, by which tokens are checked."""
    with open_openid_site() as site:
        site.kit.clock.advance(datetime.now(UTC) - site.kit.clock.now())
        yield site


def test_a_session_by_token_ends_with_the_token(site_of_today: OpenIdSite) -> None:
    site = site_of_today
    ends = int(site.kit.clock.now().timestamp()) + 600
    site.post("/console/login", {"token": token("olga", "payments:operate", exp=ends), "next": ""})
    site.kit.clock.advance(timedelta(seconds=590))
    assert site.is_logged_in()
    site.kit.clock.advance(timedelta(seconds=10))

    assert not site.is_logged_in()


def test_a_token_in_its_last_seconds_begins_no_session(site_of_today: OpenIdSite) -> None:
    ends = int(site_of_today.kit.clock.now().timestamp()) - 1
    fields = {"token": token("olga", "payments:operate", exp=ends), "next": ""}
    answer = site_of_today.post("/console/login", fields)

    assert answer.status_code == 401
    assert "has expired" in answer.text


# --- log-out


def test_logging_out_of_the_console_logs_out_at_the_provider(site: OpenIdSite) -> None:
    site.log_in_there()
    secret = site.client.cookies[SESSION]
    answer = site.send("/console/", "/console/logout")

    assert "https://id.example/log-out?id_token_hint=" in answer.text
    assert SESSION not in site.client.cookies
    site.client.cookies.set(SESSION, secret, domain="testserver.local", path="/")
    assert not site.is_logged_in()


def test_an_operator_sees_their_sessions_and_ends_one(site: OpenIdSite) -> None:
    other = site.other_browser()
    other.client.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    other.log_in_there()
    site.log_in_there()
    page = site.get("/console/sessions").text
    assert "Firefox on Linux" in page
    assert page.count("this browser") == 1

    rows = [row for row in page.split("<tr>") if "Firefox on Linux" in row]
    session = rows[0].split('name="session" value="')[1].split('"')[0]
    site.post("/console/sessions/end", {**site.hidden("/console/logout"), "session": session})

    assert not other.is_logged_in()
    assert site.is_logged_in()


def test_logging_out_everywhere_ends_all_sessions_of_the_operator_and_no_other(site: OpenIdSite) -> None:
    other, somebody = site.other_browser(), site.other_browser()
    somebody.log_in("248289761001")  # the same name, in a token
    other.log_in_there()
    site.log_in_there()
    site.get("/console/sessions")
    site.post("/console/sessions/end", {**site.hidden("/console/logout"), "session": "all"})

    assert not site.is_logged_in()
    assert not other.is_logged_in()
    assert somebody.is_logged_in()


def test_an_operator_cannot_end_the_session_of_another_operator(site: OpenIdSite) -> None:
    somebody = site.other_browser()
    somebody.log_in("rita")
    theirs = somebody.get("/console/sessions").text.split('name="session" value="')[1].split('"')[0]
    site.log_in_there()
    site.get("/console/sessions")
    site.post("/console/sessions/end", {**site.hidden("/console/logout"), "session": theirs})

    assert somebody.is_logged_in()


def test_an_operator_logs_another_out_of_all_browsers(site: OpenIdSite) -> None:
    rita, again, olga_by_token = site.other_browser(), site.other_browser(), site.other_browser()
    for each in (rita, again):
        each.log_in("rita")
    olga_by_token.log_in("248289761001")
    site.log_in_there()
    page = site.get("/console/sessions").text
    assert "Log out rita everywhere" in page
    assert page.count('action="/console/sessions/others/end"') == 2  # neither of Olga's own

    form = next(each for each in forms_in(page, "/console/sessions/others/end") if each["subject"] == "rita")
    answer = site.post("/console/sessions/others/end", form)
    assert "That operator is logged out" in site.get(answer.headers["location"]).text
    assert [each.is_logged_in() for each in (rita, again, olga_by_token, site)] == [False, False, True, True]
    (record,) = site.run(site.kit.payments.audit_trail, None, 1)
    assert (record.operation, record.actor) == (
        "end_console_sessions",
        "operator:Olga Example <olga@example.com> (248289761001)",
    )
    assert record.asked == {"operator": "rita", "way": "token", "sessions": "2"}
    assert site.post("/console/sessions/others/end", form).status_code == 404


def test_who_may_look_sees_no_other_operator(site: OpenIdSite) -> None:
    somebody = site.other_browser()
    somebody.log_in("rita")
    site.provider.roles = ["payments:read"]
    site.log_in_there()

    assert "rita" not in site.get("/console/sessions").text


def forms_in(page: str, action: str) -> list[dict[str, str]]:
    """The hidden fields of each form that posts to ``action``."""
    found = re.findall(rf'<form method="post" action="{re.escape(action)}".*?</form>', page, re.DOTALL)
    return [dict(re.findall(r'name="(\w+)" value="([^"]*)"', form)) for form in found]


def test_the_storage_holds_neither_the_secret_nor_the_id_token(site: OpenIdSite) -> None:
    site.log_in_there()
    olga = OperatorIdentity(way=LogInWay.OPENID, issuer=ISSUER, subject="248289761001")
    stored = str(site.run(site.kit.storage.read, lambda uow: uow.console_sessions.of_operator(olga)))

    assert "Olga" in stored
    assert site.client.cookies[SESSION] not in stored
    assert "eyJ" not in stored  # how a token begins
