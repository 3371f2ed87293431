# SPDX-License-Identifier: GPL-3.0-or-later
#
# make test   and   make demo   work on a machine with Python 3.11 (or newer), make, git and pip.

.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

# The first interpreter that is new enough; choose another with: make test PYTHON=python3.12
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
JOBS ?= 2

SNAKE := Snakefile workflow
PROSE := README.md CHANGELOG.md CONTRIBUTING.md CITATION.cff Makefile docs
CODE := mlatem tests examples benchmarks workflow config profiles

# Compiled kernels outlive a change of branch; one BLAS thread per process: the workers are many.
export NUMBA_CACHE_DIR ?= $(abspath $(VENV))/numba
export OMP_NUM_THREADS ?= 1
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: help test lint unit demo docs format clean

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

test: lint unit ## Check style, types and layers, then run the tests

demo: $(VENV)/.installed ## Run the demo campaign on real and simulated files
	$(BIN)/python examples/demo/prepare.py
	$(BIN)/snakemake --profile profiles/local --directory examples/demo
	@echo "The campaign at a glance: $(abspath examples/demo/results/index.html)"

lint: $(VENV)/.installed ## Check style, types and layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check $(SNAKE)
	$(BIN)/codespell $(PROSE) $(CODE)
	$(BIN)/validate-pyproject pyproject.toml

unit: $(VENV)/.installed ## Run the tests only; for example: make unit ARGS="-k tiling"
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope $(ARGS)

docs: $(VENV)/.installed-docs ## Build the documentation into build/docs
	$(BIN)/sphinx-build -W --keep-going --quiet docs build/docs
	@echo "The documentation: $(abspath build/docs/index.html)"

format: $(VENV)/.installed ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt $(SNAKE)

clean: ## Remove the environment, caches and what was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find mlatem tests workflow examples -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian ships venv without pip unless a further package is installed: then the pip at hand helps.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found: install one, or name it:" \
		"make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1), expected 3.11 or newer:" \
		"name another one: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV) \
		&& $(PYTHON) -m venv --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(BIN)/python install -qq pip; } || { rm -rf $(VENV); \
		echo "error: $(PYTHON) cannot make a virtual environment: install its venv module and pip"; \
		exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing MLATEM and its dependencies into $(VENV) (about two minutes the first time)"
	@$(PIP) install --editable '.[dev]'
	@touch $@

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.installed
	@$(PIP) install --editable '.[docs]'
	@touch $@
