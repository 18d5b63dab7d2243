// What a merchant does, through whichever release of Stripe's Node SDK `require('stripe')` finds: node life.cjs URL.
// Prints one JSON object: the version of the SDK, and for each step "ok" or what went wrong.
const assert = require('node:assert');
const http = require('node:http');
const module_ = require('stripe');
const Stripe = module_.default || module_;

const url = new URL(process.argv[2]);
const options = { host: url.hostname, port: Number(url.port), protocol: 'http', maxNetworkRetries: 2 };
const stripe = new Stripe('sk_test_matrix', options);
const CARDS = { enabled: true, allow_redirects: 'never' };

async function play(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  const answer = await fetch(new URL(`/_sandbox${path}`, url), { method: 'POST', headers, body: JSON.stringify(body) });
  assert.strictEqual(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const pay = (more = {}, request = undefined) => stripe.paymentIntents.create({
  amount: 10000, currency: 'usd', automatic_payment_methods: CARDS, capture_method: 'automatic',
  payment_method: 'pm_card_visa', confirm: true, ...more,
}, request);

const rejected = (work) => work().then(() => { throw new Error('it was not refused'); }, (error) => error);
const id = (each) => each.id;

const STEPS = {
  async customer() {
    const made = await stripe.customers.create({ email: 'bea@example.com', metadata: { a: '1' } });
    assert.strictEqual((await stripe.customers.update(made.id, { name: 'Bea' })).name, 'Bea');
    assert.strictEqual((await stripe.customers.retrieve(made.id)).email, 'bea@example.com');
    assert.deepStrictEqual((await stripe.customers.list({ email: 'bea@example.com', limit: 1 })).data.map(id), [made.id]);
    assert.strictEqual((await stripe.customers.del(made.id)).deleted, true);
  },
  async method() {
    const owner = await stripe.customers.create();
    const made = await stripe.paymentMethods.create({ type: 'card', card: { token: 'tok_visa' } });
    await stripe.paymentMethods.attach(made.id, { customer: owner.id });
    for (const _ of [1, 2]) {
      assert.strictEqual((await pay({ payment_method: made.id, customer: owner.id })).status, 'succeeded');
    }
    assert.deepStrictEqual((await stripe.customers.listPaymentMethods(owner.id)).data.map(id), [made.id]);
    assert.strictEqual((await stripe.paymentMethods.detach(made.id)).customer, null);
  },
  async setup_intent() {
    const owner = await stripe.customers.create();
    const done = await stripe.setupIntents.create({
      customer: owner.id, payment_method: 'pm_card_visa', confirm: true, automatic_payment_methods: CARDS,
    });
    const paid = await pay({ payment_method: done.payment_method, customer: owner.id, off_session: true });
    assert.deepStrictEqual([done.status, paid.status], ['succeeded', 'succeeded']);
  },
  async intent() {
    const made = await stripe.paymentIntents.create({ amount: 500, currency: 'usd', automatic_payment_methods: CARDS });
    const changed = await stripe.paymentIntents.update(made.id, { amount: 700, metadata: { seat: '7' } });
    assert.deepStrictEqual([made.status, changed.amount, changed.metadata.seat], ['requires_payment_method', 700, '7']);
    assert.strictEqual((await stripe.paymentIntents.confirm(made.id, { payment_method: 'pm_card_visa' })).status, 'succeeded');
  },
  async decline() {
    const error = await rejected(() => pay({ payment_method: 'pm_card_visa_chargeDeclinedInsufficientFunds' }));
    assert.deepStrictEqual([error.type, error.code, error.decline_code], ['StripeCardError', 'card_declined', 'insufficient_funds']);
    assert.strictEqual(error.payment_intent.status, 'requires_payment_method');
  },
  async three_d_secure() {
    const waiting = await pay({ payment_method: 'pm_card_authenticationRequired' });
    assert.strictEqual(waiting.status, 'requires_action');
    const path = `/payment_intents/${waiting.id}/authenticate`;
    await play(path, { client_secret: waiting.client_secret, outcome: 'succeeded' });
    assert.strictEqual((await stripe.paymentIntents.retrieve(waiting.id)).status, 'succeeded');
  },
  async capture() {
    const held = await pay({ capture_method: 'manual' });
    const captured = await stripe.paymentIntents.capture(held.id, { amount_to_capture: 4000 });
    assert.deepStrictEqual([held.status, captured.amount_received], ['requires_capture', 4000]);
  },
  async cancel() {
    const held = await pay({ capture_method: 'manual' });
    const canceled = await stripe.paymentIntents.cancel(held.id, { cancellation_reason: 'abandoned' });
    assert.strictEqual(canceled.status, 'canceled');
  },
  async refund() {
    const paid = await pay();
    const part = await stripe.refunds.create({ payment_intent: paid.id, amount: 2500, reason: 'duplicate' });
    const error = await rejected(() => stripe.refunds.create({ payment_intent: paid.id, amount: 9000 }));
    assert.deepStrictEqual([part.status, error.param], ['succeeded', 'amount']);
  },
  async dispute() {
    const paid = await pay({ payment_method: 'pm_card_createDispute' });
    const opened = (await stripe.disputes.list({ payment_intent: paid.id })).data[0];
    await stripe.disputes.update(opened.id, { evidence: { uncategorized_text: 'winning_evidence' }, submit: true });
    await play('/clock', { advance_s: 10 });
    assert.strictEqual((await stripe.disputes.retrieve(opened.id)).status, 'won');
  },
  async paging() {
    const owner = await stripe.customers.create();
    const made = [];
    for (let i = 0; i < 7; i += 1) made.unshift((await pay({ customer: owner.id })).id);
    const listed = [];
    for await (const each of stripe.paymentIntents.list({ customer: owner.id, limit: 3 })) listed.push(each.id);
    assert.deepStrictEqual(listed, made);
  },
  async expand() {
    const paid = await pay({ expand: ['latest_charge.balance_transaction', 'customer'] });
    assert.deepStrictEqual([paid.latest_charge.balance_transaction.amount, paid.customer], [10000, null]);
  },
  async search() {
    await pay({ metadata: { order: 'matrix' } });
    const found = await stripe.paymentIntents.search({ query: "metadata['order']:'matrix' AND status:'succeeded'" });
    assert.ok(found.data.length >= 1);
  },
  async balance() {
    await pay({ payment_method: 'pm_card_bypassPending' });
    const moved = (await stripe.balanceTransactions.list({ limit: 1, type: 'charge' })).data[0];
    assert.strictEqual(moved.net, moved.amount - moved.fee);
    assert.strictEqual((await stripe.balance.retrieve()).available[0].currency, 'usd');
  },
  async errors() {
    assert.strictEqual((await rejected(() => stripe.charges.retrieve('ch_none'))).statusCode, 404);
    const stranger = new Stripe('sk_live_1', options);
    assert.strictEqual((await rejected(() => stranger.charges.list())).type, 'StripeAuthenticationError');
    assert.strictEqual((await rejected(() => pay({ seat: '7' }))).code, 'parameter_unknown');
  },
  async idempotency() {
    const idempotencyKey = `key-${Date.now()}`;
    const [first, again] = [await pay({}, { idempotencyKey }), await pay({}, { idempotencyKey })];
    assert.strictEqual(first.id, again.id);
    assert.strictEqual((await rejected(() => pay({ amount: 20000 }, { idempotencyKey }))).type, 'StripeIdempotencyError');
  },
  async retries() {
    const owner = await stripe.customers.create();
    for (const fault of ['503', 'reset_after']) {
      await play('/faults', { match: 'POST /v1/payment_intents', fault, times: 1 });
      await pay({ customer: owner.id });
    }
    assert.strictEqual((await stripe.paymentIntents.list({ customer: owner.id })).data.length, 2);
  },
  async webhook() {
    let server;
    const arrived = new Promise((resolve) => {
      server = http.createServer((request, response) => {
        const pieces = [];
        request.on('data', (piece) => pieces.push(piece));
        request.on('end', () => {
          response.end();
          resolve([Buffer.concat(pieces), request.headers['stripe-signature']]);
        });
      });
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const version = stripe.getApiField ? stripe.getApiField('version') : Stripe.API_VERSION;
    const endpoint = await stripe.webhookEndpoints.create({
      url: `http://127.0.0.1:${server.address().port}/`, enabled_events: ['payment_intent.succeeded'], api_version: version,
    });
    const paid = await pay();
    const [body, signature] = await arrived;
    await stripe.webhookEndpoints.del(endpoint.id);
    server.close();
    const event = stripe.webhooks.constructEvent(body, signature, endpoint.secret);
    assert.deepStrictEqual([event.data.object.id, event.api_version], [paid.id, version]);
  },
  async events() {
    await pay();
    const newest = (await stripe.events.list({ type: 'payment_intent.succeeded', limit: 1 })).data[0];
    assert.strictEqual((await stripe.events.retrieve(newest.id)).data.object.amount, 10000);
  },
};

async function main() {
  const steps = {};
  for (const [name, step] of Object.entries(STEPS)) {
    try {
      await step();
      steps[name] = 'ok';
    } catch (error) {
      steps[name] = `${error.name || error.type}: ${error.message}`.slice(0, 300);
    }
  }
  const version = Stripe.PACKAGE_VERSION || stripe.VERSION;
  const apiVersion = stripe.getApiField ? stripe.getApiField('version') : Stripe.API_VERSION;
  console.log(JSON.stringify({ version, api_version: apiVersion, steps }));
  process.exit(0);
}

main();
