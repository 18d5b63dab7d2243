// Stripe(): what a page calls.

const CONFIRM_PARAMS = [
  "expand", "mandate_data", "payment_method", "payment_method_data", "receipt_email", "return_url", "setup_future_usage",
  "shipping",
];

/** What the customer still has to do: a window on this page, or another page for good, after which nothing returns. */
async function act(client, secret, intent) {
  const action = intent.next_action;
  if (intent.status !== "requires_action" || !action) {
    return { paymentIntent: intent };
  }
  if (action.type === "redirect_to_url") {
    return leaveFor(action.redirect_to_url.url);
  }
  if (action.type.endsWith("_display_details")) {
    await showVoucher(intent, action[action.type]);
    return { paymentIntent: intent };
  }
  if (action.type !== "use_stripe_sdk") {
    throw notModelled(`The next action ${action.type}`);
  }
  const refused = await leaveBank(secret, await askBank(intent));
  if (refused) {
    return { error: refused };
  }
  const { error, object } = await retrieve(client, secret, "the next action");
  if (error) {
    return { error };
  }
  return object.status === "requires_payment_method" && object.last_payment_error
    ? { error: { ...object.last_payment_error, payment_intent: object } }
    : { paymentIntent: object };
}

function leaveFor(address) {
  location.assign(address);
  return new Promise(() => {});
}

/** Where the customer goes after a payment without a redirect, as a bank's page would send them there. */
function returned(address, intent) {
  const url = new URL(address);
  url.searchParams.set("payment_intent", intent.id);
  url.searchParams.set("payment_intent_client_secret", intent.client_secret);
  const done = ["succeeded", "requires_capture"].includes(intent.status);
  url.searchParams.set("redirect_status", done ? "succeeded" : "pending");
  return url.href;
}

async function confirm(client, secret, fields, { handle = true } = {}) {
  const path = `${intentPath(secret, "confirmPayment(): clientSecret")}/confirm`;
  const { error, object } = await call(client, "POST", path, { ...fields, client_secret: secret, use_stripe_sdk: true });
  if (error) {
    return { error };
  }
  return handle ? act(client, secret, object) : { paymentIntent: object };
}

async function confirmPayment(client, given) {
  const options = checkOptions("confirmPayment()", given, ["clientSecret", "confirmParams", "elements", "redirect"]);
  const params = checkOptions("confirmPayment(): confirmParams", options.confirmParams, CONFIRM_PARAMS, [
    "confirmation_token", "payment_method_options", "radar_options", "save_payment_method",
  ]);
  const { elements, redirect = "always" } = options;
  checkChoice("confirmPayment(): redirect", redirect, ["always", "if_required"]);
  if (redirect === "always" && !params.return_url) {
    throw new IntegrationError("confirmPayment(): confirmParams.return_url is required unless redirect is 'if_required'.");
  }
  if (params.return_url && !URL.canParse(params.return_url)) {
    throw new IntegrationError("confirmPayment(): confirmParams.return_url must be a full URL.");
  }
  const secret = secretOf(options);
  const { payment_method_data: data, ...fields } = params;
  if (elements) {
    const error = await checkForm(client, elements, secret);
    if (error) {
      return { error };
    }
    fields.payment_method_data = elements.element.data(data);
  } else if (data) {
    throw new IntegrationError("confirmPayment(): confirmParams.payment_method_data needs elements.");
  }
  const result = await confirm(client, secret, fields);
  return redirect === "always" && result.paymentIntent ? leaveFor(returned(params.return_url, result.paymentIntent)) : result;
}

function secretOf({ elements, clientSecret }) {
  if (elements !== undefined && !(elements instanceof Elements)) {
    throw new IntegrationError("confirmPayment(): elements must come from stripe.elements().");
  }
  const own = elements?.clientSecret;
  if (own !== undefined && clientSecret !== undefined && own !== clientSecret) {
    throw new IntegrationError("confirmPayment(): clientSecret is another one than that of elements.");
  }
  return own ?? clientSecret;
}

/** What is wrong before anything is sent; undefined where nothing is. */
async function checkForm(client, elements, secret) {
  const element = requireReady(elements, "confirmPayment()");
  if (elements.clientSecret === undefined && !elements.submitted) {
    throw new IntegrationError("elements.submit() must be called, and succeed, before confirmPayment().");
  }
  if (elements.options.paymentMethodCreation === "manual") {
    throw new IntegrationError("confirmPayment() with elements can't be used with paymentMethodCreation 'manual'.");
  }
  const wrong = element.validate();
  if (wrong || elements.clientSecret !== undefined) {
    return wrong;
  }
  const { error, object } = await retrieve(client, secret, "confirmPayment(): clientSecret");
  if (error) {
    return error;
  }
  const differs = ["amount", "currency"].find((name) => object[name] !== elements.options[name]);
  const message = `The ${differs} of the PaymentIntent (${object[differs]}) is not that of elements() (${elements.options[differs]}).`;
  return differs ? { type: "invalid_request_error", code: "payment_intent_invalid_parameter", param: differs, message } : undefined;
}

/** The call of older integrations, for an intent that has its method already, or gets one by its id. */
async function confirmCardPayment(client, secret, given, options) {
  const known = ["payment_method", "receipt_email", "return_url", "setup_future_usage", "shipping"];
  const data = checkOptions("confirmCardPayment()", given, known, ["payment_method_options", "save_payment_method"]);
  const { handleActions = true } = checkOptions("confirmCardPayment()", options, ["handleActions"]);
  if (data.payment_method !== undefined && typeof data.payment_method !== "string") {
    throw notModelled("confirmCardPayment() with a card Element", "confirmPayment() with a Payment Element");
  }
  const { error, object } = await retrieve(client, secret, "confirmCardPayment()");
  if (error) {
    return { error };
  }
  if (object.status === "requires_action" && data.payment_method === undefined) {
    return handleActions ? act(client, secret, object) : { paymentIntent: object };
  }
  return confirm(client, secret, data, { handle: handleActions });
}

async function handleNextAction(client, given) {
  const { clientSecret } = checkOptions("handleNextAction()", given, ["clientSecret"], ["hashedValue"]);
  const { error, object } = await retrieve(client, clientSecret, "handleNextAction(): clientSecret");
  if (error) {
    return { error };
  }
  if (object.status !== "requires_action") {
    throw new IntegrationError(
      `handleNextAction: The PaymentIntent supplied is not in the requires_action state, but in ${object.status}.`,
    );
  }
  return act(client, clientSecret, object);
}

async function createPaymentMethod(client, given) {
  const other = ["billing_details", "card", "element", "metadata", "type"];
  const { elements, params } = checkOptions("createPaymentMethod()", given, ["elements", "params"], other);
  if (!(elements instanceof Elements) || elements.options.paymentMethodCreation !== "manual") {
    throw new IntegrationError("createPaymentMethod() needs elements with paymentMethodCreation 'manual'.");
  }
  const more = checkOptions("createPaymentMethod(): params", params, ["allow_redisplay", "billing_details", "metadata"]);
  const element = requireReady(elements, "createPaymentMethod()");
  if (!elements.submitted) {
    throw new IntegrationError("elements.submit() must be called, and succeed, before createPaymentMethod().");
  }
  const { error, object } = await call(client, "POST", "/v1/payment_methods", element.data(more));
  return error ? { error } : { paymentMethod: object };
}

const OTHER_CALLS = [
  "collectBankAccountForPayment", "collectBankAccountForSetup", "collectBankAccountToken",
  "collectFinancialConnectionsAccounts", "confirmAcssDebitPayment", "confirmAcssDebitSetup", "confirmAffirmPayment",
  "confirmAfterpayClearpayPayment", "confirmAlipayPayment", "confirmAmazonPaySetup", "confirmAuBecsDebitPayment",
  "confirmAuBecsDebitSetup", "confirmBacsDebitSetup", "confirmBancontactPayment", "confirmBancontactSetup",
  "confirmBilliePayment", "confirmBlikPayment", "confirmBlikSetup", "confirmBoletoPayment", "confirmCardSetup",
  "confirmCashappPayment", "confirmCashappSetup", "confirmCustomerBalancePayment", "confirmEpsPayment", "confirmFpxPayment",
  "confirmGiropayPayment", "confirmGrabPayPayment", "confirmIdealPayment", "confirmIdealSetup", "confirmKlarnaPayment",
  "confirmKonbiniPayment", "confirmMobilepayPayment", "confirmMultibancoPayment", "confirmOxxoPayment", "confirmP24Payment",
  "confirmPayByBankPayment", "confirmPayNowPayment", "confirmPayPalPayment", "confirmPayPalSetup", "confirmPixPayment",
  "confirmPromptPayPayment", "confirmSepaDebitPayment", "confirmSepaDebitSetup", "confirmSetup", "confirmSofortPayment",
  "confirmSofortSetup", "confirmTwintPayment", "confirmUsBankAccountPayment", "confirmUsBankAccountSetup",
  "confirmWechatPayPayment", "createConfirmationToken", "createEmbeddedCheckoutPage", "createEphemeralKeyNonce",
  "createRadarSession", "createSource", "createToken", "handleCardAction", "handleCardPayment", "handleCardSetup",
  "initCheckout", "initCheckoutElementsSdk", "initCheckoutFormSdk", "initEmbeddedCheckout", "initializePricing",
  "paymentRequest", "processOrder", "redirectToCheckout", "retrieveOrder", "retrieveSetupIntent", "retrieveSource",
  "verifyIdentity", "verifyMicrodepositsForPayment", "verifyMicrodepositsForSetup",
];

function insteadOf(name) {
  if (/^(handle|retrieve)/.test(name)) {
    return name === "handleCardAction" ? "handleNextAction()" : undefined;
  }
  return /^(confirm\w+Payment|create(Token|Source)|paymentRequest)$/.test(name) ? "confirmPayment() with a Payment Element" : undefined;
}

function checkKey(key) {
  if (typeof key !== "string" || !key) {
    throw new IntegrationError("Missing value for Stripe(): apiKey should be a string.");
  }
  if (/^[sr]k_/.test(key)) {
    throw new IntegrationError(
      "You should not use your secret key with Stripe.js. Please pass a publishable key instead.",
    );
  }
  if (!key.startsWith("pk_test_")) {
    throw new IntegrationError("Invalid value for Stripe(): this sandbox takes keys that begin with pk_test_.");
  }
}

function Stripe(key, given) {
  checkKey(key);
  const options = checkOptions("Stripe()", given, ["apiVersion", "developerTools", "locale"], ["betas", "stripeAccount"]);
  const client = { key, version: options.apiVersion };
  const stripe = {
    elements: (more) => new Elements(client, more),
    confirmPayment: (more) => confirmPayment(client, more),
    confirmCardPayment: async (secret, data, more) => confirmCardPayment(client, secret, data, more),
    handleNextAction: (more) => handleNextAction(client, more),
    retrievePaymentIntent: async (secret) => {
      const { error, object } = await retrieve(client, secret, "retrievePaymentIntent()");
      return error ? { error } : { paymentIntent: object };
    },
    createPaymentMethod: (more) => createPaymentMethod(client, more),
    registerAppInfo() {},
    _registerWrapper() {},
  };
  for (const name of OTHER_CALLS) {
    stripe[name] = () => {
      throw notModelled(`stripe.${name}()`, insteadOf(name));
    };
  }
  return stripe;
}

Stripe.version = 3;
window.Stripe = Stripe;
