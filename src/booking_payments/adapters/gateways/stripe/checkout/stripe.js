// The checkout with Stripe: the Payment Element sends the card to Stripe, so card data never reaches this service.
"use strict";

document.addEventListener("DOMContentLoaded", async () => {
  const form = document.getElementById("stripe-form");
  const main = document.getElementById("main");
  const path = main.dataset.path;
  const button = form.querySelector("button");
  const sent = ["form_token", "key", "price", "gateway"]; // the hidden fields that every gateway's form has
  const returnUrl = `${location.origin}${path}`;

  function complain(text) {
    const alert = document.getElementById("stripe-alert");
    alert.textContent = text;
    alert.hidden = false;
    alert.focus();
    form.removeAttribute("aria-busy");
    button.disabled = false;
  }

  async function ask(what) {
    const answer = await fetch(`${path}/${what}`, {
      method: "POST",
      body: new URLSearchParams(sent.map((name) => [name, form.elements[name].value])),
    });
    const content = await answer.json();
    if (!answer.ok) {
      throw new Error(content.detail);
    }
    return content;
  }

  // The intent cannot be paid with this form any more: it was paid in another tab, or its webhook has not arrived.
  // Nothing is mounted for it and no button is enabled. The page polls, in case no webhook arrives.
  async function leave() {
    document.querySelector("h1").textContent = "We are checking with the bank";
    form.closest("section").hidden = true;
    setTimeout(() => location.replace(path), 15000);
    await goOn(undefined, "You will not be charged twice. Please don't pay again; this page updates automatically.");
  }

  // The customer has acted at Stripe: the server reads the payment from Stripe, and the page shows its state.
  async function goOn(error, text = "Your payment is being made …") {
    window.checkout.say(text);
    const look = () => ask("look").catch(() => ({ version: main.dataset.version }));
    let seen = await look();
    if (seen.version === main.dataset.version && !error) {
      // Within two seconds of the last read the server returns the stored state.
      await new Promise((done) => setTimeout(done, 2100));
      seen = await look();
    }
    if (seen.version !== main.dataset.version) {
      location.replace(path);
    } else if (error) {
      complain(error.message);
    } else {
      await window.checkout.poll(path, { version: main.dataset.version });
    }
  }

  if (!window.Stripe) {
    complain("The payment form can't be loaded. Check your connection and load the page again.");
    return;
  }

  let stripe, elements, secret;
  try {
    stripe = window.Stripe(form.dataset.key);
    secret = (await ask("intent")).client_secret;
    if (!secret) {
      location.replace(path); // the state has changed: the page shows the new one
      return;
    }
    const { paymentIntent } = await stripe.retrievePaymentIntent(secret);
    const fitting =
      "authenticate" in form.dataset ? ["requires_action"] : ["requires_payment_method", "requires_confirmation"];
    if (paymentIntent && !fitting.includes(paymentIntent.status)) {
      await leave();
      return;
    }
    if ("authenticate" in form.dataset) {
      button.disabled = false;
    } else {
      elements = stripe.elements({ clientSecret: secret, appearance: { theme: "stripe" } });
      const element = elements.create("payment");
      element.on("ready", () => {
        document.getElementById("loading")?.remove();
        button.disabled = false;
      });
      element.on("loaderror", () => complain("The payment form can't be loaded. Load the page again."));
      element.mount("#payment-element");
    }
  } catch (error) {
    complain(error.message);
    return;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.getAttribute("aria-busy")) {
      return;
    }
    form.setAttribute("aria-busy", "true");
    button.disabled = true;
    document.getElementById("stripe-alert").hidden = true;
    try {
      const { error } = elements
        ? await stripe.confirmPayment({ elements, confirmParams: { return_url: returnUrl }, redirect: "if_required" })
        : await stripe.handleNextAction({ clientSecret: secret });
      if (error && error.type === "validation_error") {
        complain(error.message); // no request was sent
      } else {
        await goOn(error);
      }
    } catch {
      // The outcome is unknown, so the page must not say that it failed.
      await goOn();
    }
  });
});
