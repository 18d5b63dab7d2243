"""What a customer's browser loads from the sandbox: the script that stands in for Stripe.js, and the page of a bank."""

import re
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final
from urllib.parse import parse_qs

from booking_payments.sandbox.emulator.currencies import CURRENCIES
from booking_payments.sandbox.emulator.errors import Refusal, invalid, no_such, unknown_url
from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.http.messages import HttpResponse, Request, reply_refusing, reply_with

_SCRIPT_PATHS: Final = re.compile(r"/v3/?|(?:/[a-z]+)?/stripe\.js")
"""The legacy address, and those of releases by their names (docs.stripe.com/sdks/stripejs-versioning)."""

_BANK_PATH: Final = re.compile(r"/pages/bank/([^/]+)")
_OUTCOMES: Final = ("succeeded", "failed", "processing")

_PARTS: Final = ("requests.js", "windows.js", "methods.js", "elements.js", "stripe.js")
_FOLDER: Final = files("booking_payments.sandbox.http") / "stripe_js"


def is_page(path: str) -> bool:
    """Whether a browser may load something from ``path``."""
    return bool(_SCRIPT_PATHS.fullmatch(path) or _BANK_PATH.fullmatch(path))


def answer(stripe: SandboxStripe, request: Request) -> HttpResponse:
    """The script or the page."""
    try:
        found = _BANK_PATH.fullmatch(request.path)
        method = "GET" if request.method == "HEAD" else request.method
        if found is None and method == "GET":
            return _script()
        if found is not None and method == "GET":
            return _bank(stripe, found[1], _fields(request.query))
        if found is not None and method == "POST":
            return _leave(stripe, found[1], _fields(request.body.decode("utf-8", "replace")))
        raise unknown_url(request.method, request.path)
    except Refusal as refusal:
        return reply_refusing(refusal)


def _script() -> HttpResponse:
    # One function around the parts, so that a page sees nothing of them but ``Stripe``.
    parts = "\n".join((_FOLDER / name).read_text() for name in _PARTS)
    text = f'(() => {{\n"use strict";\n{parts}\n}})();\n'
    headers = {"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache"}
    return HttpResponse(200, text.encode(), {**headers, "Access-Control-Allow-Origin": "*"})


def _fields(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


def _bank(stripe: SandboxStripe, id_: str, given: dict[str, str]) -> HttpResponse:
    """Ask the customer for consent. The address has a key; another key is a 404."""
    key = given.get("key", "")
    asked = stripe.at_bank(id_, key)
    if not asked.ok:
        raise no_such("payment_intent", id_)
    buttons = [("succeeded", "Approve"), ("failed", "Refuse")]
    if asked.body["may_wait"]:
        buttons.append(("processing", "Approve, and take your time"))
    page = _PAGE.substitute(
        amount=escape(_amount(asked.body)),
        key=escape(key),
        buttons="\n".join(f'<button name="outcome" value="{value}">{text}</button>' for value, text in buttons),
    )
    return HttpResponse(200, page.encode(), _PAGE_HEADERS)


def _amount(asked: Any) -> str:
    decimals = CURRENCIES[asked["currency"]].decimals
    return f"{asked['amount'] / 10**decimals:,.{decimals}f} {asked['currency'].upper()}"


def _leave(stripe: SandboxStripe, id_: str, given: dict[str, str]) -> HttpResponse:
    """Take the customer's decision, and send the browser back to the shop."""
    outcome = given.get("outcome", "")
    if outcome not in _OUTCOMES:
        raise invalid(f"Invalid outcome: must be one of {', '.join(_OUTCOMES)}", param="outcome")
    left = stripe.leave_bank_page(id_, given.get("key", ""), outcome)
    if not left.ok:
        return reply_with(left)
    return HttpResponse(303, b"", {"Location": left.body["url"], "Referrer-Policy": "no-referrer"})


_PAGE_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
}

_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Test bank</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
  main { margin: 10vh auto; max-width: 26rem; padding: 0 1rem; }
  button { border: 1px solid; border-radius: .3rem; font: inherit; margin: .5rem .5rem 0 0; min-height: 2.75rem;
    padding: .4rem .9rem; }
</style>
</head>
<body>
<main>
<h1>Test bank</h1>
<p>A payment of <strong>$amount</strong> asks for your consent. In real life this page belongs to the bank; no real
money moves.</p>
<form method="post">
<input type="hidden" name="key" value="$key">
$buttons
</form>
</main>
</body>
</html>
""")
