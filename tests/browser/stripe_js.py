"""What stands in for Stripe.js, which no test can load: the few calls that the page makes, over Stripe's own HTTP, as
the sandbox answers it. It notes the address that it was loaded under, as the real one does."""

from typing import Any

import httpx
from playwright.async_api import Page, Route

from booking_payments.testing.sandbox import Sandbox

SCRIPT = """
window.seenByStripe = location.href;
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
  return {
    elements: ({ clientSecret }) => ({
      clientSecret,
      create: () => ({
        on(name, tell) { if (name === "ready") { setTimeout(tell, 0); } },
        mount(where) {
          const label = document.createElement("label");
          label.textContent = "Card ";
          const input = document.createElement("input");
          input.id = "card";
          label.append(input);
          document.querySelector(where).append(label);
        },
      }),
    }),
    confirmPayment: ({ elements, confirmParams }) =>
      call(elements.clientSecret, "/confirm", {
        payment_method: document.getElementById("card").value, return_url: confirmParams.return_url,
      }).then(async (done) => done.paymentIntent && done.paymentIntent.status === "requires_action"
        ? call(elements.clientSecret, "/authenticate", {}) : done),
    confirmCardPayment: (clientSecret) => call(clientSecret, "/authenticate", {}),
    handleNextAction: ({ clientSecret }) => call(clientSecret, "/authenticate", {}),
  };
};
"""
_READABLE = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}


async def play_stripe(page: Page, sandbox: Sandbox, *, loads: bool = True) -> None:
    """Answer for Stripe's hosts on this page; without ``loads`` the script can't be had."""

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
        if path.endswith("/authenticate"):
            answer = await _authenticated(sandbox, path, request.post_data or "")
        else:
            headers = {"Authorization": request.headers["authorization"]}
            answer = await _posted(f"{sandbox.url}{path}", headers, content=request.post_data, form=True)
        await route.fulfill(status=answer.status_code, headers=_READABLE, json=answer.json())

    await page.route("https://js.stripe.com/**", script)
    await page.route("https://api.stripe.com/**", api)


async def _authenticated(sandbox: Sandbox, path: str, form: str) -> httpx.Response:
    intent_id = path.split("/")[3]
    body = {"client_secret": form.removeprefix("client_secret="), "outcome": "succeeded"}
    return await _posted(f"{sandbox.url}/_sandbox/payment_intents/{intent_id}/authenticate", {}, json=body)


async def _posted(url: str, headers: dict[str, str], *, form: bool = False, **more: Any) -> httpx.Response:
    if form:
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(url, headers=headers, **more)
