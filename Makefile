# `make help` lists what can be made. Nothing is needed but Python 3.11 or 3.12 and make. (A newer
# Python does as well where a redis-server is installed: the bundled one has no wheel for it.)

VENV := .venv
BIN := $(VENV)/bin
# `make setup PYTHON=/path/to/python` chooses another one.
# Asked to run, not only found: a version switcher's shim is on the PATH and may lead nowhere.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo $$p; break; }; done)
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint check bench bench-quick bench-fleet conductor mutants nightly fuzz test-dates lock clean

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## install everything into .venv/; the second time takes no time

$(STAMP): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed: install it, or name it with PYTHON=/path/to/python." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment: install its venv package (Debian: python3-venv)." >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## three sandbox tenants, last month, three mailed reports: in a fresh folder under demo/
	@mkdir -p demo
	@$(BIN)/trailkeeper demo --folder "demo/$$(date +%Y%m%d-%H%M%S)"

test: setup  ## run the tests; they start the servers they need
	$(PYTEST) -n 4 --dist loadgroup -m "not nightly" --timeout 600

lint: setup  ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## what CI runs: lint, then test

bench: setup  ## the full measurements, some minutes
	$(BIN)/python -m benchmarks.line_speed
	$(BIN)/python -m benchmarks.feed_cold
	$(BIN)/python -m benchmarks.search_speed
	$(BIN)/python -m benchmarks.search_cost
	$(BIN)/python -m benchmarks.search_time

bench-quick: setup  ## the same measurements, small
	$(BIN)/python -m benchmarks.line_speed --records 10000 --rounds 1
	$(BIN)/python -m benchmarks.feed_cold --records 20000 --rounds 1
	$(BIN)/python -m benchmarks.search_speed --records 50000
	$(BIN)/python -m benchmarks.search_cost "2k a weekday, empty nights" "8k a weekday, empty nights"
	$(BIN)/python -m benchmarks.search_time "half a million in two days"

bench-fleet: setup  ## a thousand tenants' feeds, and noisy neighbours: half an hour
	$(BIN)/python -m benchmarks.feed_fleet
	$(BIN)/python -m benchmarks.feed_neighbours

SEEDS ?= 1000
SERVICES ?= 10
conductor: setup  ## SEEDS=1000 runs that are killed and troubled at seeded moments: an hour
	$(BIN)/python -m tests.faults.conductor --seeds $(SEEDS) --services $(SERVICES) --output benchmarks/conductor.json

mutants: setup  ## small changes of model/ and steps/: does a test notice each? A sample, some minutes
	$(BIN)/python -m benchmarks.mutants

nightly: setup  ## the tests with many seeds, all on odd dates, and fuzzing: hours
	$(PYTEST) -n 2 --dist loadgroup -m nightly --timeout 3600
	$(BIN)/python -m tests.fuzz --seconds 60
	$(BIN)/python -m tests.dates.odd_dates all

fuzz: setup  ## every reader of outside input, five minutes each; the counts go to benchmarks/
	$(BIN)/python -m tests.fuzz --seconds 300 --summary benchmarks/fuzz.md

test-dates: setup  ## all tests on seven odd dates, an hour (Linux with a C compiler)
	$(BIN)/python -m tests.dates.odd_dates all

lock:  ## pin requirements/*.txt again from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		-o requirements/runtime.txt pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra sandbox -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml requirements/dev.in

clean:  ## remove what can be made again; demo/ and data stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
