// The checkout without Stripe. The page also works without this script.
"use strict";

// The token has done its work (a cookie has it now): it must not stay in the address, in the history, or where another
// script could read it.
if (location.search) {
  history.replaceState(null, "", location.pathname);
}

// Return whether the server's state differs from the page's. While the bank's window is open only a new stage counts:
// other changes must not close the window.
function differs(state, shown) {
  return shown.stage ? state.stage !== shown.stage : state.version !== shown.version;
}

window.checkout = {
  // Announce each change once, for screen readers.
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
      // No connection: try again later.
    }
    await window.checkout.poll(path, shown, Math.min(wait * 1.4, 15000));
  },
};

// A script of another origin that never arrives holds up everything that waits for it, so this does not wait.
setTimeout(() => {
  const loading = document.getElementById("loading");
  if (loading) {
    loading.textContent = loading.dataset.slow;
  }
}, 15000);

// Show the time that is left to pay. At its end the forms are closed, and the page is loaded again once the server says
// that the booking has expired. A payment that is being made is left alone: its own script shows what becomes of it.
function countDown(main, clock) {
  const end = Date.now() + 1000 * Number(clock.dataset.left);
  const busy = () => main.querySelector("form[aria-busy]");
  let warned = false;

  function show() {
    const left = Math.ceil((end - Date.now()) / 1000);
    if (left <= 0) {
      finish();
      return;
    }
    if (left <= 3600) {
      clock.hidden = false;
      const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      clock.textContent = clock.dataset.text.replace("{}", time);
      clock.classList.toggle("soon", left <= 60);
    }
    if (left <= 60 && !warned && !busy()) {
      warned = true;
      // A page that is opened in the last minute, or wakes up in it, has less than a minute left.
      window.checkout.say(left > 55 ? clock.dataset.one : clock.textContent);
    }
    setTimeout(show, left > 3660 ? 60000 : (end - Date.now()) % 1000 || 1000);
  }

  async function finish() {
    clock.hidden = true;
    if (busy()) {
      setTimeout(finish, 1000);
      return;
    }
    for (const button of main.querySelectorAll("form button")) {
      button.disabled = true;
    }
    window.checkout.say(clock.dataset.over);
    await window.checkout.poll(main.dataset.path, { version: main.dataset.version });
  }

  show();
}

document.addEventListener("DOMContentLoaded", () => {
  const main = document.getElementById("main");
  const alert = document.getElementById("alert");
  if (alert) {
    alert.focus();
  }
  for (const form of document.querySelectorAll("form[data-busy]")) {
    form.addEventListener("submit", (event) => {
      // Ignore a second click while the first request runs; the form's idempotency key would catch it, too.
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
  const clock = document.getElementById("countdown");
  if (clock && main.dataset.stage === "pay") {
    countDown(main, clock);
  }
  // The customer may have paid in another tab meanwhile.
  document.addEventListener("visibilitychange", () => {
    const busy = document.querySelector("form[aria-busy]");
    if (!document.hidden && !busy && main.querySelector("form")) {
      window.checkout.compare(main.dataset.path, { version: main.dataset.version }).catch(() => {});
    }
  });
});

// A page restored from the browser's cache may be out of date.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) {
    location.reload();
  }
});
