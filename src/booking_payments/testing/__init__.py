"""For an application's own tests: the library in memory, and the contract suites that every adapter has to pass."""
