# What a developer does here. It needs a bare Python; building the cluster for tests needs Go.
PYTHON ?= python3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

bin := .venv/bin
uv := $(bin)/uv
compile := $(uv) pip compile -q --universal --generate-hashes --python-version 3.11 \
	--no-header --no-emit-index-url

.PHONY: help
help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: .venv/.synced ## show the operator at work, on a cluster of its own (DEMO_SECONDS, DEMO_KEEP, DEMO_CLUSTER)
	$(bin)/python -m tests.demo

.PHONY: test
test: .venv/.synced ## run all tests, on a real API server (TESTS="-k name" runs some)
	$(bin)/pytest -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(TESTS)

.PHONY: bench
bench: .venv/.synced ## measure speed and cost, in half an hour (N=100 BENCH_PARTS=steady,restart for less)
	$(bin)/python -m tests.bench

.PHONY: bench-micro
bench-micro: .venv/.synced ## time the pure core and the two clients alone
	$(bin)/python -m tests.bench.micro

.PHONY: profile
profile: .venv/.synced ## draw a flame graph of the operator's steady minute, to profile.svg
	$(bin)/python -m tests.bench.flame_graph

.PHONY: chaos
chaos: .venv/.synced ## break everything around the operator, and see what it keeps (CHAOS_MINUTES, CHAOS_SEED)
	$(bin)/python -m tests.chaos

.PHONY: fuzz
fuzz: .venv/.synced ## feed the parsers with anything, and keep in the corpus what breaks one (FUZZ_SECONDS)
	$(bin)/python -m tests.fuzz

.PHONY: e2e
e2e: .venv/.synced ## install by helm on a real node, and read the token in a pod (root on Linux; E2E_SHORT=1)
	$(bin)/python -m tests.e2e

.PHONY: sbom
sbom: .venv/.synced ## write the bill of materials of what the image installs to dist/sbom.json
	@mkdir -p dist
	$(bin)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
		--output-reproducible --output-file dist/sbom.json requirements/run.txt

.PHONY: lint
lint: .venv/.synced ## check style, types and the direction of imports
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports
	@test ! -x $(bin)/hadolint || $(bin)/hadolint Dockerfile

.PHONY: format
format: .venv/.synced ## put the code into its one format
	$(bin)/ruff check --fix-only
	$(bin)/ruff format

.PHONY: docs
docs: .venv/.synced ## write the chart's README anew, from the comments in its values.yaml
	$(bin)/python -m tests.support.chart_readme

.PHONY: snapshots
snapshots: .venv/.synced ## write tests/chart/snapshots anew, after a change of the chart that is meant
	RENEW_SNAPSHOTS=1 $(bin)/pytest -q tests/chart/test_snapshots.py

.PHONY: version
version: .venv/.synced ## move operator, image and chart to one VERSION, such as VERSION=0.2.0
	$(bin)/python -m tests.support.version "$(VERSION)"

.PHONY: cluster
cluster: .venv/.synced ## start a control plane to try things on, until Ctrl-C
	$(bin)/python -m tests.support.cluster

.PHONY: lock
lock: $(uv) ## write requirements/ anew from pyproject.toml (LOCK_FLAGS=--upgrade takes newer versions)
	$(compile) $(LOCK_FLAGS) pyproject.toml -o requirements/run.txt
	$(compile) $(LOCK_FLAGS) pyproject.toml --group dev -o requirements/dev.txt
	echo uv | $(compile) $(LOCK_FLAGS) - -o requirements/uv.txt
	echo hatchling | $(compile) $(LOCK_FLAGS) - -o requirements/build.txt

.PHONY: clean
clean: ## remove what was made here (not the control plane in the user's cache folder)
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist
	find operator tests -name __pycache__ -type d -prune -exec rm -rf {} +

# uv itself, from a bare Python.
$(uv): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { \
		echo >&2 "make: '$(PYTHON)' is not a Python from 3.11 to 3.14; name one: make PYTHON=python3.13"; \
		exit 1; }
	$(PYTHON) -m venv .venv
	$(bin)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# uv.txt is synced too, or uv would remove itself.
.venv/.synced: $(uv) requirements/dev.txt requirements/uv.txt pyproject.toml
	$(uv) pip sync -q --python $(bin)/python requirements/uv.txt requirements/dev.txt
	$(uv) pip install -q --python $(bin)/python --no-deps -e .
	@touch $@
