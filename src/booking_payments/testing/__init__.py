"""For tests of your own: a house in memory, and the contract suites that every adapter has to pass."""
