# `make demo` and `make test` work in a fresh checkout: they need Python 3.11 or newer with pip, and make `.venv` themselves.
#
#   make PYTHON=python3.12 test      another interpreter
#   make TORCH_INDEX=<url> test      take torch from this index (torch's own CPU index, say) and not from pip's default

PYTHON ?= python3
TORCH_INDEX ?=
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup demo test slow lint types format clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Make .venv with everything in it

demo: $(STAMP) ## Run the demonstration
	@$(BIN)/yuragi demo

test: $(STAMP) ## Run the tests and doctests, without the slow ones
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

slow: $(STAMP) ## Run the slow tests only
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m slow

lint: $(STAMP) ## Check style and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(STAMP) ## Check types
	@$(BIN)/mypy

format: $(STAMP) ## Format, and fix what can be fixed
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean: ## Remove caches and build products
	@rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	@find src tests -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## ... and .venv
	@rm -rf $(VENV)

# The stamp is written last, so an interrupted installation is taken up again. torch goes first, so that what follows
# finds it in place. A .venv that does not work (half made, or its Python gone) is made anew.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "yuragi needs Python 3.11 or newer, but $(PYTHON) is: $$($(PYTHON) --version 2>&1)" >&2; \
	  echo "Name another interpreter: make PYTHON=python3.12 ..." >&2; exit 1; }
	@rm -f $@
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { $(MAKE_VENV); }
	@echo "Installing torch (a few hundred megabytes) ..."
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@echo "Installing yuragi and its tools ..."
	@$(PIP) -e ".[dev]"
	@touch $@

# Where Python comes without ensurepip (Debian's without python3-venv), virtualenv stands in, from a throw-away folder.
define MAKE_VENV
  rm -rf $(VENV); echo "Making $(VENV) ..."; \
  log=$$(mktemp) && tools=$$(mktemp -d) || exit 1; \
  trap 'rm -rf "$$log" "$$tools"' EXIT; \
  $(PYTHON) -m venv $(VENV) >"$$log" 2>&1 && exit 0; \
  rm -rf $(VENV); echo "$(PYTHON) -m venv failed; trying virtualenv ..."; \
  $(PYTHON) -m virtualenv --quiet $(VENV) >>"$$log" 2>&1 && exit 0; \
  rm -rf $(VENV); \
  $(PYTHON) -m pip install --quiet --disable-pip-version-check --target "$$tools" virtualenv >>"$$log" 2>&1 \
    && PYTHONPATH="$$tools" $(PYTHON) -m virtualenv --quiet $(VENV) >>"$$log" 2>&1 && exit 0; \
  rm -rf $(VENV); cat "$$log" >&2; \
  echo "Could not make a virtual environment: install Python's venv module (python3-venv on Debian) or virtualenv." >&2; \
  exit 1
endef
