# Every target sets up what it needs: Python 3.11 or newer, a C compiler and make are enough to start with.
#
#   PYTHON=python3.12 make setup     another interpreter, for a new .venv
#   TORCH_FLAGS="--index-url URL"    where pip takes torch from, e.g. a CPU-only build
#   WORKERS=4 make test              number of test processes

PYTHON ?= python3
TORCH_FLAGS ?=
LUCID_PYTHON ?= python3.13
WORKERS ?= auto

# All paths are relative, so that a checkout may lie in a folder with spaces in its name.
BIN := .venv/bin
STAMP := .venv/.installed
DEMO_STAMP := .venv/.installed-demo
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses=8 --dist worksteal
TORCH := $(shell sed -n 's/.*"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help setup lucid demo build check lint format types test test-all test-gpu bench wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F '|' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: $(STAMP) ## create .venv with everything for development, again when pyproject.toml changes

.venv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("optgen needs Python 3.11 or newer, not " + sys.version.split()[0] + "; set PYTHON")'
	$(PYTHON) -m venv .venv

$(STAMP): pyproject.toml | .venv
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
# First and alone, so that TORCH_FLAGS apply to torch only and no other requirement picks a larger build of it.
	$(PIP) install --quiet $(TORCH_FLAGS) '$(TORCH)'
	$(PIP) install --quiet --editable '.[dev]'
	@touch $(DEMO_STAMP) $@

# The demonstration needs neither torch nor what the tests do.
$(DEMO_STAMP): pyproject.toml | .venv
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	$(PIP) install --quiet --editable '.[demo]'
	@touch $@

lucid: ## lucid in .venv-lucid, for the tests that compare with it; needs LUCID_PYTHON, python3.13 unless given
	$(LUCID_PYTHON) -m venv .venv-lucid
	.venv-lucid/bin/python -m pip --disable-pip-version-check install --quiet lucid-dl==2.8.0 'mlx[cpu]' --editable .

demo: $(DEMO_STAMP) ## build the catalogue, then run the demonstration
	$(BIN)/optgen build
	$(BIN)/optgen demo

build: setup ## regenerate generated/ from specs/
	$(BIN)/optgen build

check: setup ## fail when generated/ is not what specs/ say
	$(BIN)/optgen check

lint: setup ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## check types
	$(BIN)/python -m mypy

format: setup ## put right what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint types check ## style, types, generated code, and the fast tests
	$(PYTEST)

test-all: lint types check ## the same with the slow tests
	$(PYTEST) -m 'not gpu'

test-gpu: setup ## the tests that need a GPU
	$(BIN)/python -m pytest -m gpu

bench: setup ## measure steps on this CPU against optax, torch and a copy: about an hour
	$(BIN)/python tools/bench.py --compile --out docs/benchmarks/cpu.json

wheel: setup ## a wheel for this kind of machine in dist/, with compiled kernels for its older and newer processors
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 $(BIN)/python -m build --no-isolation --wheel

clean: ## remove .venv and everything that can be made again
	rm -rf .venv .venv-lucid build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
