# Each target sets up what it needs in .venv by itself; nothing has to be activated.
#   make serve   a daemon on loopback with a demo account
#   make test    every test, with the real FTP clients
#   make test-oldest   the quick tests, with the oldest libraries that are allowed

.DEFAULT_GOAL := help
.PHONY: help serve test test-oldest lint types docs bench bench-xfer clean
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The first interpreter that is new enough; `make PYTHON=...` overrules it.
candidates := python3 python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(firstword $(foreach p,$(candidates),$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(p))))

help:
	@echo 'make serve   start a daemon on loopback with a demo account (SERVE_ARGS="--port 2122" for another port)'
	@echo 'make test    run every test (installs curl, wget, lftp, ncftp, tnftp and rclone when it may)'
	@echo 'make test-oldest   run the unit tests with the oldest libraries that pyproject.toml allows'
	@echo 'make lint    ruff and the import contracts'
	@echo 'make types   mypy, strict'
	@echo 'make docs    the manual in docs/_build/html, and its examples'
	@echo 'make bench   compare with other servers'
	@echo 'make bench-xfer   compare xfer send with rsync, scp, magic-wormhole and nc'
	@echo 'make clean   remove what the targets made'

serve: $(VENV)/.installed
	@$(BIN)/xfer serve --demo $(SERVE_ARGS)

# A foreign client that is missing after this fails its tests: it is never skipped.
test: $(VENV)/.installed-tests
	@tests/interop/install-clients
	XFER_REQUIRE_CLIENTS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

test-oldest: $(VENV)/oldest/.installed
	$(VENV)/oldest/bin/python -m pytest $(or $(PYTEST_ARGS),tests/unit tests/wire tests/contract)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-types $(VENV)/.installed-tests
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -q -n -W --keep-going -b html docs docs/_build/html
	$(BIN)/sphinx-build -q -n -W --keep-going -b doctest docs docs/_build/doctest

bench: $(VENV)/.installed-bench
	$(BIN)/python -m bench $(BENCH_ARGS)

bench-xfer: $(VENV)/.installed-bench
	$(BIN)/python -m bench.xfer $(BENCH_ARGS)

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'twisted-xfer needs Python 3.11 or later; none was found.' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo 'No virtual environment; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }

# `pip install --group` came with pip 25.1.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/oldest/.installed: pyproject.toml tests/oldest | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/oldest
	$(BIN)/python tests/oldest > $(VENV)/oldest/constraints.txt
	$(VENV)/oldest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(VENV)/oldest/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group tests --constraint $(VENV)/oldest/constraints.txt
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(PIP) install --quiet --group $*
	@touch $@
