// The console needs no script. This one keeps a second click from looking as if it did something.
"use strict";

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("once" in form.dataset)) {
    return;
  }
  if (form.getAttribute("aria-busy")) {
    event.preventDefault();
  }
  form.setAttribute("aria-busy", "true");
});

// A page from the browser's cache shows what was; buttons have to work again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[aria-busy]")) {
    form.removeAttribute("aria-busy");
  }
});
