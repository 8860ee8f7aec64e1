# Everything that is done with this repository, by name. `make` alone lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STATE ?= .novamesh
# Test processes at a time; those with real guests and clients wait more than they work.
JOBS ?= 2
REAL_JOBS ?= 3
EXTRAS := libvirt,postgresql,mysql,tracing,client,dev

.DEFAULT_GOAL := help
.PHONY: help run system venv guest test check lint format types contracts generate real clients bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: system venv guest ## a whole cloud on this machine, in the foreground; Ctrl-C ends it
	@$(BIN)/novamesh up --state-dir $(STATE) --guest-image .build/guest $(UP)

system: ## install the system packages that are missing (apt; says which and why)
	@setup/system-packages.sh

venv: $(VENV)/installed ## the virtual environment

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "novamesh needs Python 3.11 or newer; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Python packages into $(VENV)"
	@PYTHONWARNINGS=ignore $(BIN)/pip install -q --use-pep517 -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

guest: ## the small guest image, built from the distribution's packages
	@$(PYTHON) guest/build.py .build/guest

test: ## all set-up and all tests
	@setup/system-packages.sh --tests
	@$(MAKE) --no-print-directory venv guest
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory real

check: venv ## the fast tests (under 2 minutes)
	@$(BIN)/pytest -q -n $(JOBS) -m 'not real and not database and not client and not fault'

real: venv guest ## databases, guests that boot, other people's clients, bad days
	@$(BIN)/pytest -q -n $(REAL_JOBS) --dist loadfile --no-loadscope-reorder --durations 15 -m 'real or database or client or fault'

clients: venv guest ## only the tests that use other people's clients
	@$(BIN)/pytest -q -n $(JOBS) --dist loadfile -m client

lint: venv ## style, types, contracts, who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy novamesh/failures.py novamesh/client.py services gateway drivers db cli bench guest protos tests
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory contracts

contracts: venv ## buf lint, format and breaking; drift of generated code
	@$(BIN)/python protos/generate.py --check
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code protos
	@protos/breaking.sh $(BIN)/buf

generate: venv ## generate novamesh/ from protos/
	@$(BIN)/python protos/generate.py

format: venv ## format everything
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q . ; $(BIN)/buf format -w protos

BENCHES := bare mesh scheduler placement conductor images cloud show $(if $(filter 0,$(shell id -u)),boot)

bench: venv guest ## the benchmarks, one after another (bench/README.md says what each tells)
	@for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python -m bench.$$bench || exit 1; done

clean: ## remove what the targets above made, except .novamesh
	@rm -rf $(VENV) .build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
