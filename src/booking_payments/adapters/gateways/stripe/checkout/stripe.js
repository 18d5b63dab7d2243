// The checkout with Stripe: the Payment Element sends the card to Stripe, so card data never reaches this service.
"use strict";

// Languages that Stripe.js has for a region (docs.stripe.com/js/appendix/supported_locales); any other by its language.
const REGIONAL = ["en-GB", "es-419", "fr-CA", "pt-BR", "zh-HK", "zh-TW"];

// What the service answers to a request that it refuses; its message is for the customer.
class Refusal extends Error {}

document.addEventListener("DOMContentLoaded", async () => {
  const form = document.getElementById("stripe-form");
  const main = document.getElementById("main");
  const path = main.dataset.path;
  const button = form.querySelector("button");
  const sent = ["form_token", "key", "price", "gateway"]; // the hidden fields that every gateway's form has
  const returnUrl = `${location.origin}${path}`;

  const { unloadable, failed, again, working, checking, wait } = form.dataset;
  let gone = false;

  function complain(text) {
    const alert = document.getElementById("stripe-alert");
    alert.textContent = text;
    alert.hidden = false;
    alert.focus();
    form.removeAttribute("aria-busy");
    button.disabled = gone;
  }

  // Nothing can be paid with this form: show one message and, in place of the button, a link that loads the page again.
  function giveUp(text) {
    if (gone) {
      return;
    }
    gone = true;
    document.getElementById("payment-element")?.remove();
    const link = document.createElement("a");
    link.className = "button primary wide";
    link.href = path;
    link.textContent = again;
    button.replaceWith(link);
    complain(text);
  }

  async function ask(what) {
    const answer = await fetch(`${path}/${what}`, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(sent.map((name) => [name, form.elements[name].value])),
      signal: AbortSignal.timeout(60000),
    });
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      throw new Refusal(content.detail || failed);
    }
    return content;
  }

  // The intent cannot be paid with this form any more: it was paid in another tab, or its webhook has not arrived.
  // Nothing is mounted for it and no button is enabled. The page polls, in case no webhook arrives.
  async function leave() {
    document.querySelector("h1").textContent = checking;
    form.closest("section").hidden = true;
    setTimeout(() => location.replace(path), 15000);
    await goOn(undefined, wait);
  }

  // The customer has acted at Stripe: the server reads the payment from Stripe, and the page shows its state.
  async function goOn(error, text = working) {
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

  // The look of the Payment Element: Stripe's theme for the mode, with the colours of this page.
  function appearance() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const colours = getComputedStyle(document.documentElement);
    const of = (name) => colours.getPropertyValue(name).trim();
    return {
      theme: dark ? "night" : "stripe",
      variables: { colorPrimary: of("--accent"), colorBackground: of("--paper"), colorText: of("--ink"), colorDanger: of("--bad") },
    };
  }

  if (!window.Stripe) {
    giveUp(unloadable);
    return;
  }

  let stripe, elements, secret;
  try {
    const { lang } = document.documentElement;
    stripe = window.Stripe(form.dataset.key, { locale: REGIONAL.includes(lang) ? lang : lang.split("-")[0] });
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
      elements = stripe.elements({ clientSecret: secret, appearance: appearance() });
      const element = elements.create("payment");
      const late = setTimeout(() => giveUp(unloadable), 60000);
      element.on("ready", () => {
        clearTimeout(late);
        document.getElementById("loading")?.remove();
        button.disabled = gone;
      });
      element.on("loaderror", () => giveUp(unloadable));
      element.mount("#payment-element");
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
        elements.update({ appearance: appearance() });
      });
    }
  } catch (error) {
    // Only the service's own messages are for the customer; those of a browser or of Stripe.js are for developers.
    giveUp(error instanceof Refusal ? error.message : failed);
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
