PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test browser slow fuzz libraries lint types format clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: $(STAMP)  ## set everything up, run the article's experiment and the recommended fit
	$(BIN)/yuragi demo

test: $(STAMP) browser  ## set everything up and run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

# The tests of the report need Chromium and its driver, and are skipped where there is none.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	    apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-noto-cjk >/dev/null; } || \
	  echo "no Chromium here, and no way to install it: the report is not tested in a browser"

slow: $(STAMP)  ## the longer tests
	$(BIN)/python -m pytest -q -m slow

fuzz: $(STAMP)  ## a night's work: damage files and read them
	$(BIN)/python -m tests.fuzz.run tables --files 100000

libraries: $(STAMP)  ## convert whole networks of other libraries, untrained
	$(BIN)/python -m pip install -q -c constraints.txt -r requirements-libraries.txt
	$(BIN)/python -m pip install -q -c constraints.txt --no-deps timm
	$(BIN)/python -m pytest -q -m libraries tests/libraries

lint: $(STAMP)  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## type check of package and tests
	$(BIN)/mypy

format: $(STAMP)  ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and everything built
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache

# The stamp is written last, so an interrupted set-up starts again. Where Python lacks its venv module (some Linux
# distributions package it apart), virtualenv makes the environment.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "yuragi needs Python 3.11 or newer, and $(PYTHON) is `$(PYTHON) --version 2>&1`: try make PYTHON=python3.11"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV) $(VENV)-tool; \
	  $(PYTHON) -m pip install -q --target $(VENV)-tool virtualenv && \
	  PYTHONPATH=$(VENV)-tool $(PYTHON) -m virtualenv -q $(VENV) && rm -rf $(VENV)-tool; }
	$(BIN)/python -m pip install -q -c constraints.txt torch numpy
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	@touch $@
