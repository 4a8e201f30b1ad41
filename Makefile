# `make` alone explains the targets.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-processes test-slow test-cluster test-all check format lock package image test-airflow golden samples docs screenshots clean

BIN := .venv/bin
IMAGE := nitamono
PYTHON3 := $(or $(PYTHON),python3)
export PYTHON

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with .venv/bin/nitamono; install Java if it is missing; archive Spark's classes
	@sh scripts/setup.sh

run: setup ## run the whole pipeline on data_samples/ into store/
	@$(BIN)/nitamono run --config data_samples/nitamono.toml

test: setup ## run the tests; PostgreSQL, redis and Chromium are installed for them if they can be
	@sh scripts/test_servers.sh
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not cluster and not processes and not slow"

test-slow: setup ## run the tests that take minutes each, the notebook, and those of Azure and Google Cloud Storage
	@sh scripts/test_object_stores.sh
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

test-processes: setup ## run the tests of several nights, of killed runs and executors, spark-submit, the page
	@sh scripts/test_servers.sh
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "processes and not slow"

test-cluster: setup ## run the tests on a Spark cluster of this machine's; KILLS=10: ten rounds of kills
	@sh scripts/test_object_stores.sh
	@KILLS=$(or $(KILLS),1) $(BIN)/python -m pytest -n 2 --dist loadfile tests/cluster

test-all: setup ## run every test there is, those of the other targets too, and say how long it took
	@sh scripts/test_servers.sh
	@sh scripts/test_object_stores.sh
	@start=$$(date +%s); $(BIN)/python -m pytest -n 2 --dist loadfile && $(MAKE) --no-print-directory test-airflow; \
		code=$$?; echo "test-all: $$(( $$(date +%s) - start )) s"; exit $$code

check: setup ## lint, formatting, types, and the layers of pipeline/
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: setup ## format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: ## write the locks anew from pyproject.toml (needs uv)
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --extra dev \
		-o requirements.lock pyproject.toml
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes -c requirements.lock --extra export --extra stores \
		-o requirements-runtime.lock pyproject.toml
	@uv pip compile -q --universal --python-version 3.11 --no-annotate \
		-o deploy/airflow/requirements.lock deploy/airflow/requirements.in

test-airflow: ## run the tests of deploy/airflow in an environment with Airflow, .venv-airflow
	@[ -x .venv-airflow/bin/pytest ] || { $(PYTHON3) -m venv .venv-airflow && .venv-airflow/bin/python \
		-m pip install -q --disable-pip-version-check -r deploy/airflow/requirements.lock; }
	@.venv-airflow/bin/pytest -q --noconftest -p no:cacheprovider tests/deploy/test_airflow_dag.py

image: setup ## build the image of deploy/Dockerfile (needs docker): make image IMAGE=NAME:TAG
	@rm -f dist/nitamono-*.whl
	@$(BIN)/python -m hatchling build -t wheel -d dist >/dev/null
	@docker build --file deploy/Dockerfile --tag $(IMAGE) .

package: setup ## build dist/: the wheel, and the packed environment for clusters
	@sh scripts/package.sh

golden: setup ## write tests/golden/ anew, from the commands in its files, and the notebook's outputs
	@$(BIN)/python -m pytest -q tests/pipeline/cluster/submit/test_golden.py tests/pipeline/stages/test_code_versions.py tests/test_notebook.py --write-golden

samples: setup ## write data_samples/*.csv anew
	@$(BIN)/python data_samples/make_samples.py

docs: setup ## write docs/configuration.md anew from the config's sections
	@$(BIN)/python scripts/configuration_page.py

screenshots: run ## write the pages' pictures anew, docs/*.png (needs Chromium and Japanese fonts)
	@$(BIN)/python scripts/screenshots.py

clean: ## remove the store of `make run`, and caches
	@rm -rf store .pytest_cache .mypy_cache .ruff_cache
