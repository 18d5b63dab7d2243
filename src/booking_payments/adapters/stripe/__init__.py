"""Everything that speaks Stripe's own language: amounts, objects, signatures."""
