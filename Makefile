# Every target has a line of help; `make` prints them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-reset test lint lock
export WELLRANGE_STARTED := $(shell date +%s)

help: ## Print every target
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv from the lock

$(STAMP): requirements/dev.txt
	@command -v $(PYTHON) > /dev/null || { echo "Wellrange needs Python 3.11 or newer, and there is no $(PYTHON) here. Try: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("Wellrange needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@test -w . || { echo "Cannot write to $(CURDIR), where .venv is to be made: make a clone of your own, or take write permission." >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $(STAMP)

demo: setup ## Run a simulated ward on this machine; Ctrl-C stops it
	@$(BIN)/python -m portal.embedded

demo-reset: setup ## Forget the demo's people and history
	@$(BIN)/python -m portal.embedded --reset

test: setup ## Run the whole test suite
	@$(BIN)/python -m tests.servers -- $(BIN)/pytest -n 2

lint: setup ## Style, types, and which room may import which
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

lock: ## Compile requirements/*.in to hash-locked *.txt
	@cd requirements && for set in core dev peer; do PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile -q --python-version 3.11 --universal --generate-hashes $$set.in -o $$set.txt || exit 1; done
