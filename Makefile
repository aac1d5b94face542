# Developer tasks. They need a bare Python; `make test` also needs Go.
PYTHON ?= python3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Without compiled modules each worker, and each program that a test starts, compiles its own.
unexport PYTHONDONTWRITEBYTECODE

# Most tests wait for other processes: more of them at once than there are cores.
TEST_WORKERS ?= $(shell echo $$((4 * $$(getconf _NPROCESSORS_ONLN))))

bin := .venv/bin
uv := $(bin)/uv
compile := $(uv) pip compile -q --universal --generate-hashes --python-version 3.11 \
	--no-header --no-emit-index-url

.PHONY: help
help: ## show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: .venv/.synced ## run the operator on its own cluster and show how it handles faults (DEMO_SECONDS, DEMO_KEEP, DEMO_CLUSTER)
	$(bin)/python -m tests.demo

.PHONY: demo-sidecar
demo-sidecar: .venv/.synced ## run the sidecar against a local token endpoint, without a cluster, and check its promises
	$(bin)/python -m tests.demo.sidecar

.PHONY: test
test: .venv/.compiled ## run all tests against a real API server (TESTS="-k name" selects some, TEST_WORKERS)
	$(bin)/pytest -n $(TEST_WORKERS) --dist=loadfile --no-loadscope-reorder $(TESTS)

.PHONY: soak
soak: .venv/.synced ## run all tests five times on a busy machine, in an hour (SOAK_RUNS, SOAK_LOAD)
	$(bin)/python -m tests.soak

.PHONY: bench
bench: .venv/.synced ## measure speed and cost in half an hour (N=100 BENCH_PARTS=steady,restart is shorter)
	$(bin)/python -m tests.bench

.PHONY: bench-micro
bench-micro: .venv/.synced ## benchmark the pure core and the two HTTP clients
	$(bin)/python -m tests.bench.micro

.PHONY: profile
profile: .venv/.synced ## write a flame graph of a steady minute of the operator to profile.svg
	$(bin)/python -m tests.bench.flame_graph

.PHONY: chaos
chaos: .venv/.synced ## inject faults around the operator and check its promises (CHAOS_MINUTES, CHAOS_SEED)
	$(bin)/python -m tests.chaos

.PHONY: fuzz
fuzz: .venv/.synced ## try 1,000 random inputs of each property, then fuzz the parsers (FUZZ_SECONDS)
	$(bin)/pytest -q -n $(TEST_WORKERS) -m hypothesis --hypothesis-profile=search tests/unit
	$(bin)/python -m tests.fuzz

.PHONY: e2e
e2e: .venv/.synced ## install with helm on a real node and read the token in a pod (root on Linux; E2E_SHORT=1)
	$(bin)/python -m tests.e2e

.PHONY: dist
dist: .venv/.synced ## build what a release consists of in dist/, reproducibly, with SHA256SUMS (IMAGE)
	IMAGE=$(IMAGE) $(bin)/python -m tests.release

.PHONY: sbom
sbom: .venv/.synced ## write the SBOM of the image's Python packages to dist/sbom.json
	@mkdir -p dist
	$(bin)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
		--output-reproducible --output-file dist/sbom.json requirements/run.txt

.PHONY: lint
lint: .venv/.synced ## check style, types and import contracts
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports
	@test ! -x $(bin)/hadolint || $(bin)/hadolint Dockerfile

.PHONY: format
format: .venv/.synced ## format the code
	$(bin)/ruff check --fix-only
	$(bin)/ruff format

.PHONY: docs
docs: .venv/.synced ## generate what is derived: the chart's README and CRDs, and the patch for Argo CD
	$(bin)/python -m tests.support.chart_readme
	$(bin)/python -m tests.support.chart_crds
	$(bin)/python -m tests.support.argo_cd

.PHONY: snapshots
snapshots: .venv/.synced ## update the snapshots of the rendered chart and of user-visible sentences
	RENEW_SNAPSHOTS=1 $(bin)/pytest -q tests/chart/test_snapshots.py
	RENEW_SNAPSHOTS=1 $(bin)/pytest -q tests/unit/docs/test_sentences.py  # reads those of the chart

.PHONY: version
version: .venv/.synced ## set the version of operator, image and chart (VERSION=0.2.0)
	$(bin)/python -m tests.support.version "$(VERSION)"

.PHONY: cluster
cluster: .venv/.synced ## run a control plane until Ctrl-C
	$(bin)/python -m tests.support.cluster

.PHONY: lock
lock: $(uv) ## compile requirements/ from pyproject.toml (LOCK_FLAGS=--upgrade upgrades)
	$(compile) $(LOCK_FLAGS) pyproject.toml -o requirements/run.txt
	$(compile) $(LOCK_FLAGS) pyproject.toml --group dev -o requirements/dev.txt
	echo uv | $(compile) $(LOCK_FLAGS) - -o requirements/uv.txt
	echo hatchling | $(compile) $(LOCK_FLAGS) - -o requirements/build.txt

.PHONY: clean
clean: ## remove build artifacts (not the control plane in the user's cache directory)
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

# What tests import is compiled once, and not by each worker. The run itself says what is wrong.
.venv/.compiled: .venv/.synced
	$(bin)/pytest --collect-only -q > /dev/null || true
	@touch $@

# uv.txt is synced too, or uv would remove itself.
.venv/.synced: $(uv) requirements/dev.txt requirements/uv.txt pyproject.toml
	$(uv) pip sync -q --python $(bin)/python requirements/uv.txt requirements/dev.txt
	$(uv) pip install -q --python $(bin)/python --no-deps -e .
	@touch $@
