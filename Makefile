# Bakeoff. `make` alone lists the targets.
SHELL := bash
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[all,dev]'
	@# pip compiles on one core. Some packages bring files that no Python can compile: not an error.
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

setup: $(VENV)/.installed  ## create .venv with everything

ifdef COMPOSE
# The same three through containers: make up COMPOSE=1 LAYERS="observability loadtest"
demo:
	$(PYTHON) deploy/compose.py demo $(LAYERS)

up:
	$(PYTHON) deploy/compose.py up $(LAYERS)

down:
	$(PYTHON) deploy/compose.py down
else
demo: setup  ## train, export, serve, score and load-test on built-in digits; opens the report (COMPOSE=1: in containers)
	$(BIN)/bakeoff run experiments/digits.yaml --open

up: setup  ## start every service on this machine (COMPOSE=1 LAYERS="…": in containers)
	$(BIN)/bakeoff up

down: setup  ## stop them
	$(BIN)/bakeoff down
endif

test: setup  ## run all tests: unit, contract, system; or some: make test TESTS=tests/unit
	tools/system-packages.sh
	tools/test.sh $(TESTS)

check: setup  ## fast checks: format, lint, types, imports, proto lint and drift
	tools/check.sh

proto: setup  ## generate proto/gen from proto/
	tools/proto.sh

docs: setup  ## write the tables in docs/ that come from code
	$(BIN)/python -m trainer.architectures.table >docs/architectures.md

studies: setup  ## write docs/studies.md from docs/results/*.json
	$(BIN)/python -m tools.studies

run: setup  ## run an experiment: make run EXPERIMENT=experiments/mnist.yaml ARGS='--data DIR'
	$(BIN)/bakeoff run $(EXPERIMENT) $(ARGS)

images:  ## build the container images, check their sizes, write their SBOMs: make images IMAGES="serving-onnx cli"
	$(PYTHON) deploy/images.py build $(IMAGES)

manifests:  ## print the Kubernetes manifests: make manifests OVERLAY=local
	@deploy/k8s/render.sh $(or $(OVERLAY),local)

scan: setup  ## look up known vulnerabilities of dependencies and images: make scan ARGS="--tag TAG"
	$(BIN)/python tools/scan.py $(ARGS)

report: setup  ## path of a report: make report NAME=digits
	$(BIN)/bakeoff report $(NAME)

bench-serving: setup  ## CPU per inference against KServe and MLServer: make bench-serving ARGS="--write docs"
	tools/system-packages.sh
	$(BIN)/python -m tools.bench $(ARGS)

bench-crosscheck: setup  ## our load generator beside perf_analyzer and LoadGen: make bench-crosscheck ARGS="--repository DIR MODEL"
	tools/system-packages.sh
	$(BIN)/python -m tools.bench.crosscheck $(ARGS)

bench-training: setup  ## our training loops against bare ones of the same framework, in turn
	$(BIN)/python -W ignore tools/bench_training $(ARGS)

bench-preparation: setup  ## preparing 87,000 generated JPEGs against Pillow alone, and its memory
	$(BIN)/python tools/bench_preparation.py $(ARGS)

bench-loadgen: setup  ## the load generator against a server that computes nothing; fails where it cannot be trusted
	$(BIN)/python -m loadtests.bench_null

lock: setup  ## write constraints.txt from what is installed
	tools/lock.sh

bench-soak: setup  ## an hour of load with new versions meanwhile: make bench-soak ARGS="--repository DIR MODEL"
	$(BIN)/python -m tools.bench_soak $(ARGS)

.PHONY: help setup demo test check proto docs studies run up down images manifests scan report bench-serving \
	bench-crosscheck bench-training bench-preparation bench-loadgen bench-soak lock
.DEFAULT_GOAL := help
