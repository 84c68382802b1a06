# Two commands need nothing but a bare Linux machine with Python 3.11 or later: `make drill` and `make test`.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin

.PHONY: help drill test setup lint types contracts check soak bench docs clean

help:
	@echo "make drill   set up, run a real recovery drill on this machine, say where the report is"
	@echo "make test    set up, run the tests"
	@echo "make check   lint, types and import contracts"
	@echo "make soak    long randomised tests"
	@echo "make bench   benchmarks, side by side with stock tools where these are on PATH"
	@echo "make docs    what the documentation has from the code: reference and schema"
	@echo "make clean   remove what make has made"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12"; exit 2; }
	@echo "Setting up $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is needed; on Debian: apt-get install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(READY)

drill: $(READY)
	@$(BIN)/drplatform drill run features/monthly/database_recovery.feature

test: $(READY)
	@$(BIN)/python -m pytest tests -m "not soak"

soak: $(READY)
	@$(BIN)/python -m pytest tests -m soak

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy

contracts: $(READY)
	@$(BIN)/lint-imports

check: lint types contracts

bench: $(READY)
	@for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark || exit 1; done

docs: $(READY)
	@$(BIN)/drplatform reference > docs/reference.md
	@$(BIN)/drplatform config schema > docs/drplatform.schema.json

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info build
