# Bakeoff. `make` alone lists the targets.
SHELL := bash
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests/unit tests/contract tests/system

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	touch $@

setup: $(VENV)/.installed  ## create .venv with everything

demo: setup  ## train, export, serve, score and load-test on built-in digits; opens the report
	$(BIN)/bakeoff run experiments/digits.yaml --open

test: setup  ## run all tests: unit, contract, system
	tools/system-packages.sh
	$(BIN)/python -m pytest $(TESTS)

check: setup  ## fast checks: format, lint, types, imports, proto lint and drift
	tools/check.sh

proto: setup  ## generate proto/gen from proto/
	tools/proto.sh

docs: setup  ## write the tables in docs/ that come from code
	$(BIN)/python -m trainer.architectures.table >docs/architectures.md

studies: setup  ## write docs/studies.md from docs/results/*.json
	$(BIN)/python -m evaluator.studies

run: setup  ## run an experiment: make run EXPERIMENT=experiments/mnist.yaml ARGS='--data DIR'
	$(BIN)/bakeoff run $(EXPERIMENT) $(ARGS)

up: setup  ## start every service on this machine
	$(BIN)/bakeoff up

down: setup  ## stop them
	$(BIN)/bakeoff down

report: setup  ## path of a report: make report NAME=digits
	$(BIN)/bakeoff report $(NAME)

bench-serving: setup  ## CPU per inference against KServe and MLServer: make bench-serving ARGS="--write docs"
	$(BIN)/python -m tools.bench $(ARGS)

bench-crosscheck: setup  ## our load generator beside perf_analyzer and LoadGen: make bench-crosscheck ARGS="--repository DIR MODEL"
	$(BIN)/python tools/bench_crosscheck.py $(ARGS)

bench-loadgen: setup  ## the load generator against a server that computes nothing; fails where it cannot be trusted
	$(BIN)/python -m loadtests.bench_null

lock: setup  ## write constraints.txt from what is installed
	tools/lock.sh

.PHONY: help setup demo test check proto docs studies run up down report bench-serving bench-crosscheck bench-loadgen lock
.DEFAULT_GOAL := help
