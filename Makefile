# `make demo` and `make test` are all the set-up there is: each makes .venv and installs into it when needed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# A python named on the command line (make PYTHON=...) is used or refused; otherwise the first new enough one is.
ifeq ($(origin PYTHON),undefined)
CANDIDATES := python3 python3.11 python3.12 python3.13 python
else
CANDIDATES := $(PYTHON)
endif

BIN := .venv/bin
READY := .venv/.installed
# One thread a process: two on a busy machine are slower than one, and results must not depend on their number.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 POLARS_MAX_THREADS=1
WORKERS ?= 2
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest
SPREAD := -n $(WORKERS) --dist worksteal

.PHONY: help install demo test slow long lint format bench wheel clean

help: ## these lines
	@sed -nE 's/^([a-z]+):.*## (.*)/\1|\2/p' Makefile | while IFS='|' read -r name what; do printf '  make %-8s %s\n' "$$name" "$$what"; done

install: $(READY) ## only make .venv

$(READY): pyproject.toml constraints.txt
	@enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! { $(BIN)/python -c "$$enough" && $(BIN)/python -m pip --version; } >/dev/null 2>&1; then \
		found=; \
		for candidate in $(CANDIDATES); do \
			if "$$candidate" -c "$$enough" 2>/dev/null; then found=$$candidate; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "autophage needs Python 3.11 or newer, and none of these is one: $(CANDIDATES); name yours with make PYTHON=/path/to/python3" >&2; \
			exit 1; \
		fi; \
		echo "making .venv with $$("$$found" --version)"; \
		"$$found" -m venv --clear .venv; \
	fi
	@echo "installing into .venv, which takes a few minutes the first time"
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## a loop that collapses and one that does not, with their figures
	$(BIN)/python -m autophage.demo

test: $(READY) ## the default tier, within 6 minutes on 2 cores
	$(PYTEST) $(SPREAD) -m 'not slow and not long'

slow: $(READY) ## the slow tier, within 25 minutes on 2 cores
	$(PYTEST) $(SPREAD) -m 'slow and not long'

long: $(READY) ## everything else, by hand; the log is kept under docs/results/
	@mkdir -p docs/results
	$(PYTEST) $(SPREAD) -m long -rA --durations=0 2>&1 | sed "s|$(CURDIR)/||g" | tee "docs/results/long-$$(date -u +%Y-%m-%d).log"

lint: $(READY) ## ruff and mypy
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

format: $(READY) ## what ruff can mend by itself
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

bench: $(READY) ## speed against named references; writes benchmarks/RESULTS.md
	$(ONE_THREAD) $(BIN)/python -m benchmarks

wheel: $(READY) ## a wheel in dist/
	$(BIN)/python -m build --wheel --no-isolation

clean: ## everything that was built, .venv included
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
