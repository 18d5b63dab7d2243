// The checkout without Stripe: everything here makes the page nicer, none of it is needed.
"use strict";

// The token has done its work (a cookie has it now): it must not stay in the address, in the history, or where another
// script could read it.
if (location.search) {
  history.replaceState(null, "", location.pathname);
}

// Whether the server's state is another one than that of the page. While the bank's window is open only a new stage
// counts: any other change must not take the window away from the customer.
function differs(state, shown) {
  return shown.stage ? state.stage !== shown.stage : state.version !== shown.version;
}

window.checkout = {
  // What changes is said once, for screen readers, too.
  say(text) {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    document.getElementById("news").replaceChildren(paragraph);
  },

  // Load the page again when the server has something else to show than `shown`; returns whether that was so.
  async compare(path, shown) {
    const answer = await fetch(`${path}/status`, { headers: { Accept: "application/json" } });
    const other = answer.ok ? differs(await answer.json(), shown) : answer.status < 500 && answer.status !== 429;
    if (other) {
      location.replace(path);
    }
    return other;
  },

  // Poll until there is something else to show, at growing intervals; then load the page again.
  async poll(path, shown, wait = 1000) {
    await new Promise((resolve) => setTimeout(resolve, document.hidden ? 5 * wait : wait));
    try {
      if (await window.checkout.compare(path, shown)) {
        return;
      }
    } catch {
      // No connection: it will come back.
    }
    await window.checkout.poll(path, shown, Math.min(wait * 1.4, 15000));
  },
};

document.addEventListener("DOMContentLoaded", () => {
  const main = document.getElementById("main");
  const alert = document.getElementById("alert");
  if (alert) {
    alert.focus();
  }
  for (const form of document.querySelectorAll("form[data-busy]")) {
    form.addEventListener("submit", (event) => {
      // A second click while the first is on its way does nothing; the form's key would see to it anyway.
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "yes";
      form.setAttribute("aria-busy", "true");
      window.checkout.say(form.dataset.busy);
    });
  }
  if ("poll" in main.dataset) {
    const { poll, stage, version } = main.dataset;
    window.checkout.poll(main.dataset.path, poll === "stage" ? { stage } : { version });
  }
  // Whoever comes back to this tab may have paid in another one.
  document.addEventListener("visibilitychange", () => {
    const busy = document.querySelector("form[aria-busy]");
    if (!document.hidden && !busy && main.querySelector("form")) {
      window.checkout.compare(main.dataset.path, { version: main.dataset.version }).catch(() => {});
    }
  });
});

// A page that comes back from the browser's cache is older than what has happened since.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) {
    location.reload();
  }
});
