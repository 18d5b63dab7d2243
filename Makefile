# Everything a newcomer types. Bare `make` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test test-unit site coverage nightly sdk-matrix bench catalogues lint typecheck docs screenshots lock mutation audit clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python cannot make $(VENV); on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	@test -f $(VENV)/.dev || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check --quiet
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check --quiet
	@touch $@

run: $(VENV)/.run  ## install what is needed, migrate, and serve on http://127.0.0.1:8000
	@$(BIN)/booking-payments migrate
	@$(BIN)/booking-payments serve

# One worker process more than there are cores (tests/conftest.py), since tests also wait for processes and databases; a
# worker that has nothing left takes over tests of another.
PARALLEL := -n auto --maxprocesses 9 --dist worksteal

# Tests start many processes. Without bytecode each of them compiles the package anew, and each worker all tests.
test coverage test-unit site nightly: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.dev  ## install what is needed and run the whole suite on all cores, PostgreSQL included (five to eight minutes on two)
	@$(BIN)/python -m pytest $(PARALLEL) -m "not site"

site: $(VENV)/.dev  ## build the documents as a site, and check its links (about a minute); `.ci/run` does it, too
	@$(BIN)/python -m pytest -q tests/integration/test_site.py

coverage: $(VENV)/.dev  ## the whole suite again, measuring which branches it takes: at least 95 percent (about half an hour)
	@$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term

test-unit: $(VENV)/.dev  ## run tests/unit on all cores, the use cases in memory only, for the daily loop (half a minute to a minute)
	@$(BIN)/python -m pytest -n logical --maxprocesses 9 --dist worksteal -q -m "not sql" tests/unit

nightly: $(VENV)/.dev  ## the long proofs: a hundred thousand simulated runs, a thousand kills per database, seventy thousand requests, fuzzing (about an hour)
	@SIMULATION=nightly KILLS=1000 TRANSFER_KILLS=100 PROCESS_KILLS=200 EVENT_KILLS=50 RACE_ROUNDS=500 $(BIN)/python -m pytest --timeout 0 -s \
		tests/simulation tests/e2e/test_kills.py tests/e2e/test_event_kills.py tests/e2e/test_bank_transfer_kills.py tests/e2e/test_many_processes.py \
		tests/e2e/test_soak.py tests/integration/test_races.py tests/integration/test_large_events.py $(PROOFS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes --no-deps \
		-r requirements/fuzz.txt 2>/dev/null || true
	@$(BIN)/python -m tests.fuzz
	@$(BIN)/python -m tools.sdk_matrix --allow-missing

# What reads SIMULATION=nightly beside the simulation: the same tests with more of everything.
PROOFS := tests/repository/test_linear_time.py tests/unit/test_card_numbers.py tests/unit/stripe/test_currencies.py tests/unit/stripe/test_hostile_signatures.py \
	tests/unit/application tests/unit/domain tests/browser tests/integration/http/test_card_data.py tests/integration/test_canaries.py tests/integration/test_sql_storage.py \
	tests/integration/test_audit.py tests/integration/test_bank_transfers.py tests/integration/test_beside.py tests/integration/test_manual.py tests/integration/test_refunded_items.py \
	tests/integration/cli tests/integration/test_sql_books.py tests/integration/test_sums.py \
	tests/integration/http/test_exploring.py tests/integration/http/test_memory.py tests/integration/http/test_tampering.py \
	tests/integration/http/test_refusals_of_stripe.py tests/integration/http/test_hostile.py tests/integration/sandbox/http/test_playing.py tests/integration/test_server_side_requests.py tests/e2e/test_restoring.py tests/e2e/test_workers.py tests/e2e/test_http_limits.py tests/examples/test_messages.py

sdk-matrix: $(VENV)/.dev  ## Stripe's SDKs for Node.js and Python, newest and older releases, against the sandbox (about half a minute)
	@$(BIN)/python -m tools.sdk_matrix --write

bench: $(VENV)/.dev  ## webhooks and payments a second, beside a bare handler and pgbench (about half an hour); writes docs/performance.md
	@$(BIN)/python -m bench.run

mutation: $(VENV)/.dev  ## whether the tests notice what changes in the guarded modules (about ten minutes)
	@$(BIN)/python tools/mutate.py $(TARGETS)

audit: $(VENV)/.dev  ## what ships: licences, known weaknesses, bill of materials, reproducible wheel
	@$(BIN)/python tools/audit.py

catalogues: $(VENV)/.dev  ## update the translations of the checkout, and list the texts without one
	@$(BIN)/python -m tools.catalogues

lint: $(VENV)/.dev  ## style, and the arrows of the hexagon
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

typecheck: $(VENV)/.dev  ## mypy, strict
	@$(BIN)/mypy

docs: $(VENV)/.dev  ## print the diagrams in docs/ from the lifecycle tables, and build the site into build/site
	@$(BIN)/python -m tools.diagrams
	@$(BIN)/python -m tools.pictures
	@$(BIN)/python -m tools.sequences
	@$(BIN)/python -m tools.reference
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/site
	@echo "the site: build/site/index.html"

screenshots: $(VENV)/.dev  ## take those in docs/pictures anew, in the browser tests (about half a minute)
	@$(BIN)/python -m tools.screenshots

lock: $(VENV)/.dev  ## pin and hash the dependencies anew
	@$(BIN)/python tools/lock.py

clean:  ## remove the environment and what the tools leave behind
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
