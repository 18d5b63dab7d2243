// The console works without this script, which only makes a second click visibly do nothing.
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

// A page restored from the browser's cache: enable its buttons again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[aria-busy]")) {
    form.removeAttribute("aria-busy");
  }
});
