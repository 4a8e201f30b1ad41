# `make` alone explains the targets.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-cluster check format lock samples clean

BIN := .venv/bin
export PYTHON

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with .venv/bin/nitamono; install Java if it is missing
	@sh scripts/setup.sh

run: setup ## run the whole pipeline on data_samples/ into store/
	@$(BIN)/nitamono run --config data_samples/nitamono.toml

test: setup ## run the tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not cluster"

test-cluster: setup ## run the tests on a Spark cluster of this machine's; KILLS=10: ten rounds of kills
	@KILLS=$(or $(KILLS),1) $(BIN)/python -m pytest tests/cluster

check: setup ## lint, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup ## format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --extra dev \
		-o requirements.lock pyproject.toml

samples: setup ## write data_samples/*.csv anew
	@$(BIN)/python data_samples/make_samples.py

clean: ## remove the store of `make run`, and caches
	@rm -rf store .pytest_cache .mypy_cache .ruff_cache
