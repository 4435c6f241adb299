# Everything a checkout needs. `make demo` and `make test` work on a machine with python3 (with venv), git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The Python that an installation runs with; a service cannot use one under a home directory.
SYSTEM_PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
DESTDIR ?=
WHEELS := build/wheels
PACKAGED := $(shell find sessions towerctl towerd man -type f -not -name '*.pyc')

.PHONY: demo test test-system check lint types run bench install uninstall deb clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/python -m tests.demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 4 --dist worksteal --ignore tests/system

# Installs TOWER in every way there is, on machines of its own; says why not where there can be none.
test-system: $(VENV)/installed
	$(BIN)/python -m pytest tests/system --durations 0

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

# What needs the package index; all that follows does without a network.
$(WHEELS)/complete: pyproject.toml $(PACKAGED)
	$(SYSTEM_PYTHON) -m installation.wheels $(WHEELS)
	@touch $@

install: $(WHEELS)/complete
	$(SYSTEM_PYTHON) -m installation install --prefix '$(PREFIX)' --destination '$(DESTDIR)' --wheels $(WHEELS)

uninstall:
	$(SYSTEM_PYTHON) -m installation uninstall --prefix '$(PREFIX)' --destination '$(DESTDIR)'

# The package of this version; raise DEB_REVISION for another package of the same.
DEB_REVISION ?= 1
DEB_MAINTAINER ?= TOWER <tower@localhost>

deb: $(WHEELS)/complete
	$(SYSTEM_PYTHON) -m installation.deb build/deb --wheels $(WHEELS) \
		--revision '$(DEB_REVISION)' --maintainer '$(DEB_MAINTAINER)'

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
