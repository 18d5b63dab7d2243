// What is shown: elements without style attributes, which the policy of a page may forbid, and windows above the page.

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) {
      element[name] = value;
    } else {
      element.setAttribute(name, value);
    }
  }
  element.append(...children);
  return element;
}

const STYLE = `
  :host { color-scheme: light dark; display: block; font: 1rem/1.4 system-ui, sans-serif; }
  * { box-sizing: border-box; font: inherit; }
  fieldset { border: 0; margin: 0 0 .75rem; padding: 0; }
  legend { font-weight: 600; padding: 0; }
  label { display: block; margin: 0 0 .75rem; }
  label.choice { display: inline-flex; gap: .4rem; margin: .25rem 1rem .25rem 0; min-height: 1.75rem; align-items: center; }
  input:not([type=radio]) { background: light-dark(#fff, #1d1f23); border: 1px solid light-dark(#767b85, #8b919c);
    border-radius: .3rem; color: inherit; display: block; margin-top: .2rem; padding: .5rem; width: 100%; }
  input[aria-invalid=true] { border-color: light-dark(#b3261e, #ff8a80); }
  p.error { color: light-dark(#b3261e, #ff8a80); margin: 0 0 .75rem; }
  p.note { margin: 0 0 .75rem; }
  dialog { background: light-dark(#fff, #1d1f23); border: 1px solid light-dark(#767b85, #8b919c); border-radius: .5rem;
    color: light-dark(#1d1f23, #f2f3f5); max-width: min(26rem, 92vw); padding: 1.25rem; }
  dialog::backdrop { background: rgb(0 0 0 / .5); }
  h2 { font-size: 1.2rem; font-weight: 600; margin: 0 0 .5rem; }
  code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
  button { background: light-dark(#fff, #2a2d33); border: 1px solid light-dark(#767b85, #8b919c); border-radius: .3rem;
    color: inherit; cursor: pointer; margin: .5rem .5rem 0 0; min-height: 2.5rem; padding: .4rem .9rem; }
`;

/** A root of its own below `where`: neither the page's styles reach in, nor ours out. */
function styledRoot(where) {
  const root = where.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
  return root;
}

/** Ask the customer in a window. `buttons` are pairs of a value and its text; the Escape key gives the last value. */
function ask(title, content, buttons) {
  return new Promise((resolve) => {
    const host = make("div", { "data-stripe-js": "window" });
    const dialog = make("dialog", { "aria-labelledby": "title" }, make("h2", { id: "title", textContent: title }), ...content);
    const end = (value) => {
      dialog.close();
      host.remove();
      resolve(value);
    };
    for (const [value, text] of buttons) {
      dialog.append(make("button", { type: "button", textContent: text, onclick: () => end(value) }));
    }
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      end(buttons.at(-1)[0]);
    });
    document.body.append(host);
    styledRoot(host).append(dialog);
    dialog.showModal();
  });
}

function money(amount, currency) {
  const format = new Intl.NumberFormat("en", { style: "currency", currency });
  // Stripe's smallest units differ from ISO 4217 for these three.
  const digits = { isk: 2, ugx: 2, mga: 0 }[currency] ?? format.resolvedOptions().maximumFractionDigits;
  return format.format(amount / 10 ** digits);
}

function askBank(intent) {
  const text = `A payment of ${money(intent.amount, intent.currency)} asks for your consent. No real money moves.`;
  return ask("Test bank: 3-D Secure", [make("p", { textContent: text })], [
    ["succeeded", "Approve"],
    ["failed", "Refuse"],
  ]);
}

function showVoucher(intent, details) {
  const number = details.number || details.reference || details.stores?.lawson.payment_code;
  const until = new Date(1000 * (details.expires_at || details.expires_after)).toISOString().slice(0, 16);
  const text = `Pay ${money(intent.amount, intent.currency)} before ${until.replace("T", " ")} UTC with this number: `;
  return ask("Test voucher", [make("p", {}, text, make("code", { textContent: number }))], [["closed", "Close"]]);
}
