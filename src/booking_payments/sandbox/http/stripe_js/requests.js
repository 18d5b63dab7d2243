// What the script needs of the sandbox: Stripe's interface with the publishable key, and the customer's side of the bank.

const ORIGIN = new URL(document.currentScript.src).origin;

/** A mistake in the page's own code; the real script raises an error of this name, too. */
class IntegrationError extends Error {
  constructor(message) {
    super(message);
    this.name = "IntegrationError";
  }
}

function notModelled(what, instead) {
  return new IntegrationError(`${what} is not modelled by this sandbox.${instead ? ` Use ${instead}.` : ""}`);
}

/** The options of a call, without what is undefined. Throws for each name that Stripe does not have or this script has not. */
function checkOptions(where, given, known, unmodelled = []) {
  if (given === undefined || given === null) {
    return {};
  }
  if (typeof given !== "object" || Array.isArray(given)) {
    throw new IntegrationError(`Invalid value for ${where}: an object is expected.`);
  }
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  for (const name of Object.keys(options)) {
    if (unmodelled.includes(name)) {
      throw notModelled(`${where}: ${name}`);
    }
    if (!known.includes(name)) {
      throw new IntegrationError(`${where}: ${name} is not a recognized parameter.`);
    }
  }
  return options;
}

function checkChoice(where, value, choices) {
  if (value !== undefined && !choices.includes(value)) {
    throw new IntegrationError(`Invalid value for ${where}: it must be one of ${choices.join(", ")}.`);
  }
}

/** Names and values as Stripe's forms have them: `a[b]=1`, `a[0]=x`. */
function encoded(value, name = "", form = new URLSearchParams()) {
  if (value !== null && typeof value === "object") {
    for (const [key, inner] of Object.entries(value)) {
      encoded(inner, name ? `${name}[${key}]` : key, form);
    }
  } else if (value !== undefined) {
    form.append(name, value === null ? "" : String(value));
  }
  return form;
}

const UNREACHABLE = {
  type: "api_connection_error",
  message:
    "We are experiencing issues connecting to our payments provider. You have not been charged. Please check your " +
    "internet connection and try again.",
};

/** `{ object }`, or `{ error }` as Stripe words it. */
async function call(client, method, path, fields) {
  const form = encoded({ ...fields, key: client.key, _stripe_version: client.version });
  try {
    const response = await (method === "GET"
      ? fetch(`${ORIGIN}${path}?${form}`)
      : fetch(`${ORIGIN}${path}`, { method, body: form }));
    const content = await response.json();
    return content.error ? { error: content.error } : { object: content };
  } catch {
    return { error: UNREACHABLE };
  }
}

function intentPath(secret, where) {
  if (typeof secret !== "string") {
    throw new IntegrationError(`Missing value for ${where}: the client secret of a PaymentIntent is expected.`);
  }
  if (secret.startsWith("seti_")) {
    throw notModelled(`${where} with the client secret of a SetupIntent`);
  }
  if (!/^pi_\w+_secret_\w+$/.test(secret)) {
    throw new IntegrationError(`Invalid value for ${where}: ${secret.slice(0, 40)} is not a client secret.`);
  }
  return `/v1/payment_intents/${secret.split("_secret_")[0]}`;
}

function retrieve(client, secret, where) {
  return call(client, "GET", intentPath(secret, where), { client_secret: secret });
}

/** The customer leaves the bank's window. Returns an error where the sandbox can't be told. */
async function leaveBank(secret, outcome) {
  try {
    const response = await fetch(`${ORIGIN}/_sandbox/payment_intents/${secret.split("_secret_")[0]}/authenticate`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ client_secret: secret, outcome }),
    });
    return response.ok ? undefined : (await response.json()).error;
  } catch {
    return UNREACHABLE;
  }
}
