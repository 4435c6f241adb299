# Everything a checkout needs. `make demo` and `make test` work on a machine with python3 (with venv), git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check lint types run bench clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/python -m tests.demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 4 --dist worksteal

check: lint types test

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed
	$(BIN)/mypy

run: $(VENV)/installed
	$(BIN)/towerd

bench: $(VENV)/installed
	$(BIN)/python -m pytest tests/benchmarks -m benchmark -s

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
