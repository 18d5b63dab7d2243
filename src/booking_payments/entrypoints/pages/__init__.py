"""Pages for people: the checkout for customers, the console for operators. Rendered on the server, usable without
scripts; what scripts there are is small and our own."""
