# Needs Python 3.11 or newer and make. `make help` lists the targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Two processes share the tests (tests/sharing.py).
JOBS     ?= 2
SHARED   := $(if $(filter-out 0 1,$(JOBS)),--numprocesses $(JOBS) --dist loadscope,)

DURATION ?=
SEED     ?= 1
DEMO     := $(if $(DURATION),--duration $(DURATION),)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-secure lint bench fuzz audit lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## everything into .venv, from the lock file with its hashes; nothing to do when nothing changed

# The stamp is written last: an interrupted installation is repeated.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 install" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## embedded Kafka, simulator, two workers and a live view; make demo DURATION=30 ends by itself
	$(BIN)/creative-feedback demo $(DEMO)

test: install ## all tests, in two processes; make test JOBS=1 runs one after the other
	$(BIN)/python -m pytest $(SHARED)

test-secure: install ## the same, with every client under test behind Kafka's authorizer: SCRAM over TLS, the printed ACLs
	$(BIN)/python -m pytest $(SHARED) --secure

lint: install ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## benchmarks of the step, the codec and the fold
	$(BIN)/python -m pytest tests/bench --benchmark-enable --benchmark-only

fuzz: install ## two million inputs through two processes that must agree; SEED=7 for others
	$(BIN)/python -m tests.fuzz --inputs 2000000 --seed $(SEED)

audit: install ## known vulnerabilities, pins, installed files, dangerous code; writes build/sbom.cdx.json
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive processor schemas topology creative_feedback.py
	$(BIN)/python -m tests.supply_chain

# What runs, and what builds the package, are parts of the same resolution: the image takes no more than these.
LOCKED := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

lock: ## resolve the dependencies again, for every platform and Python, and write the lock files
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)-lock/bin/$(LOCKED) --upgrade --all-extras --group dev --output-file requirements.lock pyproject.toml
	$(VENV)-lock/bin/$(LOCKED) --constraints requirements.lock --output-file requirements-run.lock pyproject.toml
	$(VENV)-lock/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(VENV)-lock/bin/$(LOCKED) --constraints requirements.lock --output-file requirements-build.lock -
	rm -rf $(VENV)-lock

clean: ## the environment, caches and build results
	rm -rf $(VENV) $(VENV)-lock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.benchmarks .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
