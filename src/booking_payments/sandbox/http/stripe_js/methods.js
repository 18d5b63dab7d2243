// The types of payment methods that the form takes: their fields, what is complete, and what is sent of them.

const digitsOf = (text) => text.replace(/\D/g, "");

function luhn(digits) {
  return [...digits].reverse().reduce((sum, digit, place) => {
    const value = place % 2 ? 2 * digit : Number(digit);
    return sum + (value > 9 ? value - 9 : value);
  }, 0) % 10 === 0;
}

const isAmex = (number) => /^3[47]/.test(digitsOf(number));

function numberError(text) {
  const digits = digitsOf(text);
  const length = isAmex(text) ? 15 : /^3[068]/.test(digits) ? 14 : 16;
  if (digits.length < length) {
    return ["incomplete_number", "Your card number is incomplete."];
  }
  return digits.length <= 19 && luhn(digits) ? null : ["invalid_number", "Your card number is invalid."];
}

/** Month and year of a text such as `12 / 34`; the year has four digits. */
function expiryOf(text) {
  const found = /^\s*(\d{1,2})\s*\/?\s*(\d{2}|\d{4})\s*$/.exec(text);
  return found ? { month: Number(found[1]), year: (Number(found[2]) % 100) + 2000 } : null;
}

function expiryError(text) {
  const expiry = expiryOf(text);
  if (!expiry || expiry.month < 1 || expiry.month > 12) {
    return ["incomplete_expiry", "Your card's expiration date is incomplete."];
  }
  const now = new Date();
  if (expiry.year < now.getFullYear()) {
    return ["invalid_expiry_year_past", "Your card's expiration year is in the past."];
  }
  return expiry.year === now.getFullYear() && expiry.month <= now.getMonth()
    ? ["invalid_expiry_month_past", "Your card's expiration date is in the past."]
    : null;
}

function cvcError(text, values) {
  const length = isAmex(values.number) ? 4 : 3;
  return digitsOf(text).length === length ? null : ["incomplete_cvc", "Your card's security code is incomplete."];
}

/** Fields of `billing_details`; `path` says where each goes. */
const needed = (code, message) => (text) => (text.trim() ? null : [code, message]);
const BILLING = {
  name: { name: "name", label: "Full name", autocomplete: "name", path: ["name"],
    error: needed("incomplete_name", "Please provide your full name.") },
  email: { name: "email", label: "Email", type: "email", autocomplete: "email", path: ["email"],
    error: (text) => (/^\S+@\S+\.\S+$/.test(text) ? null : ["incomplete_email", "Your email address is incomplete."]) },
  line1: { name: "line1", label: "Address", autocomplete: "address-line1", path: ["address", "line1"],
    error: needed("incomplete_address", "Please provide your address.") },
  city: { name: "city", label: "City", autocomplete: "address-level2", path: ["address", "city"],
    error: needed("incomplete_city", "Please provide your city.") },
  state: { name: "state", label: "State", autocomplete: "address-level1", path: ["address", "state"],
    error: needed("incomplete_state", "Please provide your state.") },
  postal_code: { name: "postal_code", label: "Postal code", autocomplete: "postal-code", path: ["address", "postal_code"],
    error: needed("incomplete_zip", "Your postal code is incomplete.") },
  country: { name: "country", label: "Country (two letters)", autocomplete: "country", path: ["address", "country"],
    error: (text) => (/^[A-Za-z]{2}$/.test(text) ? null : ["incomplete_country", "Please provide your country."]) },
};
const optional = (field, label) => ({ ...field, label, error: () => null });

const MANDATE = "By paying you authorize the shop to debit your account. This is a test: no real money moves.";
const REDIRECTED = "You will be sent to a page of a test bank to complete the payment.";
const VOUCHER = "You will be shown a voucher to pay later.";

/** `details` is what goes below the type's own name. */
const METHODS = {
  card: {
    title: "Card",
    fields: [
      { name: "number", label: "Card number", inputMode: "numeric", autocomplete: "cc-number",
        placeholder: "4242 4242 4242 4242", error: numberError },
      { name: "expiry", label: "Expiration date", inputMode: "numeric", autocomplete: "cc-exp", placeholder: "MM / YY",
        error: expiryError },
      { name: "cvc", label: "Security code", inputMode: "numeric", autocomplete: "cc-csc", placeholder: "CVC", error: cvcError },
    ],
    details: ({ number, expiry, cvc }) => {
      const { month, year } = expiryOf(expiry);
      return { number: digitsOf(number), exp_month: month, exp_year: year, cvc: digitsOf(cvc) };
    },
  },
  sepa_debit: {
    title: "SEPA Debit",
    note: MANDATE,
    fields: [
      { name: "iban", label: "IBAN", placeholder: "AT611904300234573201",
        error: (text) => (text.replace(/\s/g, "").length < 15 ? ["incomplete_iban", "Your IBAN is incomplete."] : null) },
      BILLING.name, BILLING.email,
      optional(BILLING.line1, "Address (outside the European Economic Area)"),
      optional(BILLING.country, "Country (outside the European Economic Area, two letters)"),
    ],
    details: ({ iban }) => ({ iban: iban.replace(/\s/g, "") }),
  },
  us_bank_account: {
    title: "US bank account",
    note: MANDATE,
    fields: [
      BILLING.name, BILLING.email,
      { name: "routing", label: "Routing number", inputMode: "numeric", placeholder: "110000000",
        error: (text) => (digitsOf(text).length === 9 ? null : ["incomplete_routing_number", "Your routing number is incomplete."]) },
      { name: "account", label: "Account number", inputMode: "numeric", placeholder: "000123456789",
        error: needed("incomplete_account_number", "Your account number is incomplete.") },
    ],
    details: ({ routing, account }) => ({
      account_holder_type: "individual", routing_number: digitsOf(routing), account_number: digitsOf(account),
    }),
  },
  bancontact: { title: "Bancontact", note: REDIRECTED, fields: [BILLING.name] },
  ideal: { title: "iDEAL", note: REDIRECTED, fields: [] },
  klarna: { title: "Klarna", note: REDIRECTED, fields: [] },
  paypal: { title: "PayPal", note: REDIRECTED, fields: [] },
  boleto: {
    title: "Boleto",
    note: VOUCHER,
    fields: [
      { name: "tax_id", label: "CPF/CNPJ", placeholder: "000.000.000-00",
        error: needed("incomplete_tax_id", "Your tax ID is incomplete.") },
      BILLING.name, BILLING.email, BILLING.line1, BILLING.city, BILLING.state, BILLING.postal_code, BILLING.country,
    ],
    details: ({ tax_id }) => ({ tax_id }),
  },
  konbini: { title: "Konbini", note: VOUCHER, fields: [BILLING.name, BILLING.email] },
  multibanco: { title: "Multibanco", note: VOUCHER, fields: [BILLING.email] },
  oxxo: { title: "OXXO", note: VOUCHER, fields: [BILLING.name, BILLING.email] },
};

/** The first thing that is wrong with what was typed, as Stripe words it. */
function validationError(fields, values) {
  for (const field of fields) {
    const found = field.error(values[field.name] || "", values);
    if (found) {
      return { error: { type: "validation_error", code: found[0], message: found[1] }, field };
    }
  }
  return {};
}

/** `payment_method_data` of a method that was typed in. */
function methodData(type, fields, values) {
  const billing = {};
  for (const field of fields.filter((each) => each.path && values[each.name])) {
    const inner = field.path.length === 2 ? (billing.address ??= {}) : billing;
    inner[field.path.at(-1)] = values[field.name];
  }
  const { details } = METHODS[type];
  return { type, billing_details: billing, ...(details && { [type]: details(values) }) };
}

function merged(first, second) {
  const result = { ...first };
  for (const [name, value] of Object.entries(second || {})) {
    const both = value !== null && typeof value === "object" && typeof result[name] === "object";
    result[name] = both ? merged(result[name], value) : value;
  }
  return result;
}
