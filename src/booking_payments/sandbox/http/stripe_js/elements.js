// elements(), and the one Element that there is: the Payment Element.

const OTHER_ELEMENTS = [
  "address", "auBankAccount", "card", "cardCvc", "cardExpiry", "cardNumber", "contactDetails", "currencySelector",
  "epsBank", "expressCheckout", "fpxBank", "iban", "idealBank", "linkAuthentication", "linkSignup", "p24Bank",
  "paymentMethodMessaging", "paymentRequestButton", "shippingAddress", "taxId", "terms",
];
const EVENTS = ["ready", "change", "focus", "blur", "escape", "loaderror", "loaderstart"];
const PAYABLE = ["requires_payment_method", "requires_confirmation", "requires_action"];

const LOOKS = ["appearance", "fonts", "loader", "locale"];
const DEFERRED = [
  "amount", "captureMethod", "currency", "mode", "paymentMethodTypes", "allowedPaymentMethodTypes",
  "excludedPaymentMethodTypes", "setupFutureUsage",
];
const ELEMENTS_NOT_MODELLED = [
  "adaptivePricing", "capture_method", "customPaymentMethods", "customerOptions", "customerSessionClientSecret",
  "externalPaymentMethodTypes", "onBehalfOf", "on_behalf_of", "paymentMethodConfiguration", "paymentMethodOptions",
  "payment_method_configuration", "payment_method_options", "payment_method_types", "setup_future_usage",
  "syncAddressCheckbox",
];

class PaymentElement {
  constructor(group, options) {
    this.group = group;
    this.options = checkElement(options);
    this.listeners = new Map(EVENTS.map((name) => [name, []]));
    this.values = {};
    this.ready = false;
  }

  on(name, tell) {
    if (!this.listeners.has(name)) {
      throw new IntegrationError(`Invalid event name: the Payment Element has ${EVENTS.join(", ")}, and not ${name}.`);
    }
    this.listeners.get(name).push(tell);
    return this;
  }

  once(name, tell) {
    const once = (event) => {
      this.off(name, once);
      tell(event);
    };
    return this.on(name, once);
  }

  off(name, tell) {
    this.listeners.set(name, tell ? (this.listeners.get(name) || []).filter((each) => each !== tell) : []);
    return this;
  }

  emit(name, more = {}) {
    for (const tell of [...this.listeners.get(name)]) {
      tell({ elementType: "payment", ...more });
    }
  }

  mount(where) {
    this.requireAlive("mount");
    const target = typeof where === "string" ? document.querySelector(where) : where;
    if (!target) {
      throw new IntegrationError(
        `The selector you specified (${where}) applies to no DOM elements that are currently on the page. Make sure the ` +
        "element exists on the page before calling mount().",
      );
    }
    this.unmount();
    this.host = make("div", { className: "StripeElement", "data-stripe-js": "payment" });
    target.append(this.host);
    this.root = styledRoot(this.host);
    this.load(this.host);
  }

  async load(host) {
    this.emit("loaderstart");
    const { error } = await this.group.load();
    if (this.host !== host) {
      return; // unmounted meanwhile
    }
    if (error) {
      this.emit("loaderror", { error });
      return;
    }
    this.render();
    this.ready = true;
    this.emit("ready");
  }

  unmount() {
    this.host?.remove();
    this.host = undefined;
    this.values = {};
    this.ready = false;
  }

  destroy() {
    this.requireAlive("destroy");
    this.unmount();
    this.destroyed = true;
    this.group.element = undefined;
  }

  update(options) {
    this.requireAlive("update");
    this.options = { ...this.options, ...checkElement(options) };
    if (this.ready) {
      this.render();
    }
  }

  focus() {
    this.root?.querySelector("input")?.focus();
  }

  blur() {
    this.root?.activeElement?.blur();
  }

  clear() {
    this.values = {};
    if (this.ready) {
      this.render();
      this.changed();
    }
  }

  collapse() {
    throw notModelled("paymentElement.collapse()");
  }

  requireAlive(verb) {
    if (this.destroyed) {
      throw new IntegrationError(`This Element has already been destroyed; ${verb}() can't be called any more.`);
    }
  }

  /** The types that are shown, first what the page's order names. */
  get types() {
    const order = this.options.paymentMethodOrder || [];
    const place = (type) => (order.includes(type) ? order.indexOf(type) : order.length);
    return [...this.group.types].sort((one, other) => place(one) - place(other));
  }

  /** The fields of the chosen type; those that the page collects itself are not among them. */
  get fields() {
    const hidden = this.options.fields?.billingDetails;
    const isHidden = (field) => {
      const inner = field.path?.length === 2 ? hidden?.address?.[CAMEL[field.name] || field.name] : undefined;
      const own = hidden?.[field.path?.[0]];
      return Boolean(field.path) && (hidden === "never" || own === "never" || inner === "never");
    };
    return METHODS[this.type].fields.filter((field) => !isHidden(field));
  }

  render() {
    const { types } = this;
    this.type = types.includes(this.type) ? this.type : types[0];
    const choices = types.map((type) => make("label", { className: "choice" },
      make("input", { type: "radio", name: "type", value: type, checked: type === this.type, onchange: () => {
        this.type = type;
        this.values = {};
        this.render();
        this.root.querySelector("input[type=radio]:checked").focus();
        this.changed();
      } }), METHODS[type].title));
    const defaults = this.options.defaultValues?.billingDetails || {};
    const inputs = this.fields.map((field) => {
      const given = field.path?.length === 2 ? defaults.address?.[field.name] : defaults[field.name];
      this.values[field.name] ??= (field.path && given) || "";
      return make("label", {}, field.label, make("input", {
        type: field.type || "text", name: field.name, inputMode: field.inputMode || "", value: this.values[field.name],
        autocomplete: field.autocomplete || "off", placeholder: field.placeholder || "", readOnly: Boolean(this.options.readOnly),
        oninput: (event) => this.typed(field, event.target),
      }));
    });
    const note = METHODS[this.type].note;
    this.root.replaceChildren(
      ...(types.length > 1 ? [make("fieldset", {}, make("legend", { textContent: "Payment method" }), ...choices)] : []),
      ...(note ? [make("p", { className: "note", textContent: note })] : []),
      ...inputs,
      make("p", { className: "error", role: "alert", hidden: true }),
    );
    for (const input of this.root.querySelectorAll("input")) {
      input.addEventListener("focus", () => this.emit("focus"));
      input.addEventListener("blur", () => this.emit("blur"));
      input.addEventListener("keydown", (event) => event.key === "Escape" && this.emit("escape"));
    }
  }

  typed(field, input) {
    this.values[field.name] = input.value;
    input.removeAttribute("aria-invalid");
    this.root.querySelector(".error").hidden = true;
    this.changed();
  }

  changed() {
    const { fields } = this;
    this.emit("change", {
      complete: !validationError(fields, this.values).error,
      empty: fields.every((field) => !this.values[field.name]),
      collapsed: false,
      value: { type: this.type },
    });
  }

  /** What is wrong with what was typed, shown in the form, too; undefined when it is complete. */
  validate() {
    const { error, field } = validationError(this.fields, this.values);
    if (error) {
      const alert = this.root.querySelector(".error");
      alert.textContent = error.message;
      alert.hidden = false;
      this.root.querySelector(`input[name=${field.name}]`).setAttribute("aria-invalid", "true");
    }
    return error;
  }

  /** `payment_method_data`: what was typed, and what the page adds to it. */
  data(more) {
    const data = merged(methodData(this.type, this.fields, this.values), more);
    for (const field of METHODS[this.type].fields.filter((each) => !this.fields.includes(each))) {
      const value = field.path.reduce((inner, step) => inner?.[step], data.billing_details);
      if (!value && field.error("", {})) {
        const path = field.path.join(".");
        throw new IntegrationError(
          `You specified "never" for fields.billingDetails.${path} when creating the payment Element, but did not pass ` +
          `confirmParams.payment_method_data.billing_details.${path}.`,
        );
      }
    }
    return data;
  }
}

const CAMEL = { postal_code: "postalCode" };

function checkElement(options) {
  return checkOptions(
    "elements.create('payment')",
    options,
    ["business", "defaultValues", "fields", "layout", "paymentMethodOrder", "readOnly", "terms", "wallets"],
    ["applePay", "walletOptions"],
  );
}

class Elements {
  constructor(client, options) {
    this.client = client;
    const known = ["clientSecret", "paymentMethodCreation", ...DEFERRED, ...LOOKS];
    this.options = checkOptions("elements()", options, known, ELEMENTS_NOT_MODELLED);
    this.clientSecret = this.options.clientSecret;
    if (this.clientSecret !== undefined) {
      intentPath(this.clientSecret, "elements(): clientSecret");
      const extra = DEFERRED.filter((name) => name !== "currency").find((name) => name in this.options);
      if (extra) {
        throw new IntegrationError(`elements(): ${extra} can't be given together with clientSecret.`);
      }
    } else {
      checkDeferred(this.options);
    }
    checkChoice("elements(): paymentMethodCreation", this.options.paymentMethodCreation, ["manual"]);
    this.submitted = false;
  }

  create(type, options) {
    if (OTHER_ELEMENTS.includes(type)) {
      throw notModelled(`elements.create('${type}')`, "elements.create('payment')");
    }
    if (type !== "payment") {
      throw new IntegrationError(`A valid Element name must be provided, such as 'payment'; you specified: ${type}.`);
    }
    if (this.element) {
      throw new IntegrationError("Can only create one Element of type payment.");
    }
    this.element = new PaymentElement(this, options);
    return this.element;
  }

  getElement(type) {
    return type === "payment" || type === PaymentElement ? this.element || null : null;
  }

  /** Learn which types there are. Returns `{ error }` where the intent is not to be paid any more. */
  async load() {
    if (this.clientSecret === undefined) {
      this.types = deferredTypes(this.options);
    } else {
      const { error, object } = await retrieve(this.client, this.clientSecret, "elements()");
      if (error) {
        return { error };
      }
      if (!PAYABLE.includes(object.status)) {
        const message = `This PaymentIntent has a status of ${object.status}, and Elements can't be used with it any more.`;
        return { error: { type: "invalid_request_error", code: "payment_intent_unexpected_state", message, payment_intent: object } };
      }
      // Only cards can be held.
      const held = object.capture_method === "manual";
      this.types = object.payment_method_types.filter((type) => METHODS[type] && (!held || type === "card"));
    }
    const message = "No payment method type of this payment is modelled by this sandbox.";
    return this.types.length ? {} : { error: { type: "invalid_request_error", message } };
  }

  async update(options) {
    const known = [...DEFERRED, ...LOOKS];
    const changes = checkOptions("elements.update()", options, known, ELEMENTS_NOT_MODELLED);
    const deferred = DEFERRED.find((name) => name in changes);
    if (this.clientSecret !== undefined && deferred) {
      throw new IntegrationError(`elements.update(): ${deferred} can't be changed for Elements with a clientSecret.`);
    }
    const options_ = { ...this.options, ...changes };
    if (this.clientSecret === undefined) {
      checkDeferred(options_);
    }
    this.options = options_;
    await this.renderAgain();
  }

  /** Read the intent again after the server has changed it. */
  async fetchUpdates() {
    if (this.clientSecret === undefined) {
      throw new IntegrationError("elements.fetchUpdates() is for Elements with a clientSecret; use elements.update().");
    }
    const { error } = await this.renderAgain();
    return error ? { error: { message: error.message, status: error.type } } : {};
  }

  async renderAgain() {
    if (!this.element?.ready) {
      return {};
    }
    const loaded = await this.load();
    if (!loaded.error && this.element?.ready) {
      this.element.render();
    }
    return loaded;
  }

  async submit() {
    const element = requireReady(this, "elements.submit()");
    const error = element.validate();
    this.submitted = !error;
    return error ? { error } : { selectedPaymentMethod: element.type };
  }
}

function requireReady(group, where) {
  if (!group.element?.ready) {
    throw new IntegrationError(`${where} needs a mounted Payment Element that is ready.`);
  }
  return group.element;
}

function checkDeferred(options) {
  const { mode, amount, currency } = options;
  if (mode === "setup" || mode === "subscription") {
    throw notModelled(`elements(): mode '${mode}'`);
  }
  if (mode !== "payment") {
    throw new IntegrationError("elements() needs a clientSecret, or mode 'payment' with amount and currency.");
  }
  if (!Number.isInteger(amount) || amount <= 0) {
    throw new IntegrationError("Invalid value for elements(): amount should be a positive number of the smallest units.");
  }
  if (typeof currency !== "string" || !/^[a-z]{3}$/.test(currency)) {
    throw new IntegrationError("Invalid value for elements(): currency should be a code such as usd.");
  }
}

function deferredTypes({ paymentMethodTypes, allowedPaymentMethodTypes, excludedPaymentMethodTypes = [] }) {
  const types = paymentMethodTypes || allowedPaymentMethodTypes || ["card"];
  return types.filter((type) => METHODS[type] && !excludedPaymentMethodTypes.includes(type));
}
