# Wanwu: `make run` serves, `make test` tests, `make help` lists the rest.
#
# Settings are environment variables (docs: the table in README.md). Whatever stands in the environment or on make's
# command line reaches every command below, so `PORT=9000 make run` and `make run PORT=9000` are the same.

PYTHON ?= python3
# PyPI's torch for Linux brings gigabytes of CUDA libraries; this index has the CPU builds. Empty: never ask it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

MINUTES ?= 30
COUNT ?= 20000

VENV := .venv
BIN := $(VENV)/bin
SERVE := $(VENV)/serve.stamp
TRAIN := $(VENV)/train.stamp
TEST := $(VENV)/test.stamp
BENCH := $(VENV)/bench.stamp

# In an offline bundle the wheels lie beside this file, and no index is asked.
BUNDLED := $(wildcard wheels)
# Without --no-compile pip byte-compiles thousands of modules that are never imported: three times the wait.
PIP_OPTIONS := --quiet --prefer-binary --disable-pip-version-check --no-compile
ifneq ($(BUNDLED),)
PIP_OPTIONS += --no-index --find-links $(BUNDLED)
TORCH_INDEX :=
endif
# Expanded by the recipes that install, and only there: does the index of CPU builds answer within a few seconds?
INDEX_ANSWERS = $(PYTHON) -c "import urllib.request as r; r.urlopen('$(TORCH_INDEX)/torch/', timeout=5)" 2>/dev/null
TORCH_OPTIONS = $$(test -z '$(TORCH_INDEX)' || { $(INDEX_ANSWERS) && echo --extra-index-url '$(TORCH_INDEX)'; })

# Sets $missing to the packages that the tests still need; true where there is none.
MISSING = missing=; command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="$$missing chromium"; \
  command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
  command -v redis-server >/dev/null || missing="$$missing redis-server"; \
  test -z "$$missing"
AS_ROOT = $$(test "$$(id -u)" = 0 || echo sudo)

.PHONY: run teach test lint audit bench soak fuzz bundle services clean help
.DEFAULT_GOAL := help

run: $(SERVE) ## serve on HOST:PORT (127.0.0.1:8000)
	@$(BIN)/python -m app fetch-weights
	@exec $(BIN)/python -m app serve

teach: $(TRAIN) ## install what `python -m app train` needs
	@echo "Ready: $(BIN)/python -m app train DATA --mode KEY"

test: $(TEST) services ## run the whole test suite; ARGS="-k name" chooses
	@$(BIN)/python -m pytest $(ARGS)

lint: $(TEST) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

audit: $(TEST) ## look up known vulnerabilities of what is installed; says so where no data can be reached
	@$(BIN)/python -m tools.audit

bench: $(BENCH) ## measure against the plain reference and rivals; ARGS="--quick" for a look
	@$(BIN)/python -m app bench $(ARGS)

soak: $(TEST) ## full load for MINUTES (30): does anything fail, grow or slow down?
	@$(BIN)/python -m bench.soak --minutes $(MINUTES)

fuzz: $(TEST) ## damaged pictures, COUNT (20000) of them, through all of /predict
	@$(BIN)/python -m tools.fuzz --count $(COUNT) $(wildcard ../shared/awkward)

bundle: $(SERVE) ## pack code, wheels and weights into dist/, for a machine with no network
	@$(BIN)/python -m app fetch-weights
	@$(BIN)/python -m tools.bundle --prefer-binary --disable-pip-version-check $(TORCH_OPTIONS)

# The page's tests drive a real browser, the database's ask a real PostgreSQL, the cluster's head keeps its records in a
# real Redis; each starts and ends its own.
services:
	@$(MISSING) || { $(AS_ROOT) apt-get -qq update && $(AS_ROOT) apt-get -qq install --yes --no-install-recommends $$missing; } || \
	  { echo "The tests need Debian's packages$$missing: install them as root, then try again." >&2; exit 1; }

clean: ## remove what these targets made; models/ stays
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

# A stamp is made last, so that a failed install is tried again, and is older than a changed list of requirements.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Wanwu needs Python 3.11 or newer; where it has another name: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(SERVE): requirements.txt | $(BIN)/python
	@echo "Installing what serving needs into $(VENV) (about 250 MB, once) …"
	@$(BIN)/python -m pip install $(PIP_OPTIONS) $(TORCH_OPTIONS) -r requirements.txt
	@touch $@

$(TRAIN): requirements-train.txt $(SERVE)
	@echo "Installing what teaching needs into $(VENV) (once) …"
	@$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements-train.txt
	@touch $@

$(TEST): requirements-test.txt requirements-export.txt requirements-cluster.txt $(TRAIN)
	@echo "Installing what the tests need into $(VENV) (once) …"
	@$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements-test.txt
	@touch $@

$(BENCH): requirements-bench.txt $(TEST)
	@echo "Installing the servers that Wanwu is compared with into $(VENV) (once) …"
	@$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements-bench.txt && touch $@ || \
	  echo "They cannot be installed here: Wanwu is compared with the plain reference only." >&2
