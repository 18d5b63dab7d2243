"""What stands in for Stripe.js, which no test can load: the few calls that the page makes, over Stripe's own HTTP, as
the sandbox answers it. It notes the address that it was loaded under, as the real one does."""

from typing import Any
from urllib.parse import urlencode

import httpx2
from playwright.async_api import Page, Route

from booking_payments.testing.sandbox import Sandbox

SCRIPT = """
window.seenByStripe = location.href;
window.mounted = 0;
window.Stripe = (key) => {
  const call = async (secret, path, fields) => {
    const id = secret.split("_secret_")[0];
    const answer = await fetch(`https://api.stripe.com/v1/payment_intents/${id}${path}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${key}` },
      body: new URLSearchParams({ client_secret: secret, ...fields }),
    });
    const content = await answer.json();
    return content.error ? { error: content.error } : { paymentIntent: content };
  };
  // What the customer has to do: a window on this page, or another page for good (as the real one, it never returns).
  const act = async (secret, intent) => {
    const action = intent.next_action;
    if (action && action.type === "redirect_to_url") {
      location.assign(action.redirect_to_url.url);
      await new Promise(() => {});
    }
    window.windows = (window.windows || 0) + 1;
    return call(secret, "/authenticate", {});
  };
  const read = async (secret) => {
    const id = secret.split("_secret_")[0];
    const query = new URLSearchParams({ client_secret: secret });
    const answer = await fetch(`https://api.stripe.com/v1/payment_intents/${id}?${query}`, {
      headers: { Authorization: `Bearer ${key}` },
    });
    const content = await answer.json();
    return content.error ? { error: content.error } : { paymentIntent: content };
  };
  return {
    elements: ({ clientSecret }) => ({
      clientSecret,
      create: () => ({
        on(name, tell) { if (name === "ready") { setTimeout(tell, 0); } },
        mount(where) {
          window.mounted += 1;
          const label = document.createElement("label");
          label.textContent = "Card ";
          const input = document.createElement("input");
          input.id = "card";
          label.append(input);
          document.querySelector(where).append(label);
        },
      }),
    }),
    confirmPayment: async ({ elements, confirmParams }) => {
      const method = document.getElementById("card").value;
      const fields = method.startsWith("pm_") ? { payment_method: method } : { "payment_method_data[type]": method };
      const done = await call(elements.clientSecret, "/confirm", { ...fields, return_url: confirmParams.return_url });
      const waits = done.paymentIntent && done.paymentIntent.status === "requires_action";
      return waits ? act(elements.clientSecret, done.paymentIntent) : done;
    },
    retrievePaymentIntent: read,
    handleNextAction: async ({ clientSecret }) => act(clientSecret, (await read(clientSecret)).paymentIntent),
  };
};
"""
_READABLE = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}


async def play_stripe(page: Page, sandbox: Sandbox, *, loads: bool = True, bank: str = "succeeded") -> None:
    """Answer for Stripe's hosts on this page; without ``loads`` the script can't be had. ``bank``: what becomes of a
    payment at the page of a bank, which sends the browser back at once."""

    async def script(route: Route) -> None:
        if loads:
            await route.fulfill(body=SCRIPT, content_type="text/javascript")
        else:
            await route.abort()

    async def api(route: Route) -> None:
        request = route.request
        if request.method == "OPTIONS":
            await route.fulfill(status=204, headers=_READABLE)
            return
        path = request.url.removeprefix("https://api.stripe.com")
        if request.method == "GET":
            read = sandbox.stripe.by_hand("GET", path.partition("?")[0], {})
            await route.fulfill(status=read.status, headers=_READABLE, json=read.body)
            return
        if path.endswith("/authenticate"):
            answer = await _authenticated(sandbox, path, request.post_data or "")
        else:
            headers = {"Authorization": request.headers["authorization"]}
            answer = await _posted(f"{sandbox.url}{path}", headers, content=request.post_data, form=True)
        await route.fulfill(status=answer.status_code, headers=_READABLE, json=answer.json())

    async def redirected(route: Route) -> None:
        back = await _left_bank(sandbox, route.request.url.rpartition("=")[2], bank)
        await route.fulfill(status=302, headers={"Location": back})

    await page.route("https://hooks.stripe.com/3d_secure_2/hosted**", redirected)
    await page.route("https://js.stripe.com/**", script)
    await page.route("https://api.stripe.com/**", api)


async def _left_bank(sandbox: Sandbox, intent_id: str, outcome: str) -> str:
    """Where the bank's page sends the browser to; the address says what Stripe's does."""
    intent = sandbox.stripe.by_hand("GET", f"/v1/payment_intents/{intent_id}", {}).body
    secret, back = intent["client_secret"], intent["next_action"]["redirect_to_url"]["return_url"]
    if outcome != "open":
        body = {"client_secret": secret, "outcome": outcome}
        await _posted(f"{sandbox.url}/_sandbox/payment_intents/{intent_id}/authenticate", {}, json=body)
    told = {"processing": "pending", "open": "succeeded"}.get(outcome, outcome)
    fields = {"payment_intent": intent_id, "payment_intent_client_secret": secret, "redirect_status": told}
    return f"{back}{'&' if '?' in back else '?'}{urlencode(fields)}"


async def _authenticated(sandbox: Sandbox, path: str, form: str) -> httpx2.Response:
    intent_id = path.split("/")[3]
    body = {"client_secret": form.removeprefix("client_secret="), "outcome": "succeeded"}
    return await _posted(f"{sandbox.url}/_sandbox/payment_intents/{intent_id}/authenticate", {}, json=body)


async def _posted(url: str, headers: dict[str, str], *, form: bool = False, **more: Any) -> httpx2.Response:
    if form:
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(url, headers=headers, **more)
