# make demo    an hour of orders through the revenue job, on the embedded log; again: goes on from its checkpoint
# make test    check, and all tests but the long ones on Ray, with coverage
# make set-up  Java and Maven for tests on Kafka: installed as root with apt-get, else it says the command
# make test-more  the long tests of the Ray runtime, on clusters of nodes
# make check   formatting, lint, types, layers, docs, licences, advisories
# make bench   all benchmarks, beside other engines: hours, on a machine that does nothing else
# make docs   the site, in site/      make clean   everything that is made here

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-more set-up check bench docs clean

demo: $(VENV)/runtime
	@$(BIN)/python jobs/demo.py

test: set-up check
	$(BIN)/pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered

test-more: set-up
	$(BIN)/pytest -m more tests/ray

set-up: $(VENV)/dev
	$(BIN)/python -m tests.kafka.setup

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy jobs/*.py
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict --quiet
	$(BIN)/python .ci/licences.py
	$(BIN)/python .ci/audit.py

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks --peers all
	$(BIN)/python -m benchmarks --peers kafka-streams --steady --rounds 1
	$(BIN)/python -m benchmarks map count shuffle --runtime ray --workers 1,2
	for name in checkpoints memory restore latency start growth ray coordinator; do $(BIN)/python -m benchmarks.$$name || exit 1; done

docs: $(VENV)/dev
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) site dist .coverage* .mypy_cache .ruff_cache .import_linter_cache .hypothesis rayflow-data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/runtime
