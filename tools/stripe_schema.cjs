// Writes schema.json, a JSON Schema of the objects that an account's endpoints answer with, from the type declarations of
// Stripe's Node SDK. tests/data/stripe/objects.schema.json is its output. To make it anew, in an empty folder:
//
//   npm install stripe@23.1.0 typescript && cp .../stripe_schema.cjs .
//   node stripe_schema.cjs 2026-10-28.endive 23.1.0
//
