# Every local task of DDS.  `make demo` and `make test` need nothing but Python >= 3.11.
# Paths are relative, so a checkout may live in a directory with spaces in its name.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types docs proto bench latency engines study upgrade clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile

# The stamp is newer than what it was made from, so an edit of either installs again.
$(VENV)/stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "DDS needs Python >= 3.11; this is %s. Set PYTHON=/path/to/python3.11" % sys.version.split()[0])'
	@echo "Setting up $(VENV) (about a minute, once) ..."
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[fast,server,plot,test,docs]'
	@touch $@

demo: $(VENV)/stamp ## the main job: eight clients, one server, one market, real inferences
	@$(RUN) -m dds demo

test: $(VENV)/stamp ## pass every test
	@$(RUN) -m pytest -n auto --dist worksteal

lint: $(VENV)/stamp
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

types: $(VENV)/stamp
	@$(RUN) -m mypy

docs: $(VENV)/stamp ## build the documentation as a site in out/docs; warnings are errors
	@$(RUN) -m sphinx -q -W --keep-going -b html docs out/docs
	@echo "open out/docs/index.html"

check: lint types docs test ## everything CI runs, short of the demo

bench: $(VENV)/stamp ## measure frontiers, markets, growth, the online market, tiers and schedules against peers (separate environment)
	@test -x .venv-bench/bin/python || $(RUN) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	  --requirement benchmarks/requirements.txt --editable '.[fast]'
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --only-binary pygambit \
	  pygambit==16.7.0 || echo "no wheel of pygambit here: the benchmark will report it as missing"
	@mkdir -p out/bench
	@for b in frontier market growth social online tiers parallel; do \
	  .venv-bench/bin/python benchmarks/$$b.py --json out/bench/$$b.json || exit 1; done

latency: $(VENV)/stamp ## an hour: predicted against measured latency, of operators, models, halves and cuts
	@test -x .venv-bench/bin/python || $(RUN) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	  --requirement benchmarks/requirements.txt --editable '.[fast,server,plot]'
	@mkdir -p out/bench
	@.venv-bench/bin/python benchmarks/predictor.py --cache out/bench/cache --plots out/bench \
	  --json out/bench/predictor.json
	@.venv-bench/bin/python -m dds train-predictor --seed 1 --cache out/bench/cache --out out/bench/predictor
	@.venv-bench/bin/python benchmarks/cuts.py --predictor out/bench/predictor --json out/bench/cuts.json

engines: $(VENV)/stamp ## every engine, PyTorch too (gigabytes, separate environment): conformance and latency
	@test -x .venv-engines/bin/python || $(RUN) -m venv .venv-engines
	@.venv-engines/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[openvino,torch,sklearn]' hypothesis pytest
	@.venv-engines/bin/python -m pytest tests/dds/engines
	@mkdir -p out/bench
	@.venv-engines/bin/python benchmarks/engines.py --json out/bench/engines.json

study: $(VENV)/stamp ## a thousand seeded cells: the recommended mechanism against every rule of thumb
	@mkdir -p out/bench
	@$(RUN) benchmarks/study.py --json out/bench/study.json

proto: ## regenerate the gRPC stubs; fails when the committed ones differ
	@test -x .venv-proto/bin/python || $(PYTHON) -m venv .venv-proto
	@.venv-proto/bin/python -m pip install --quiet --disable-pip-version-check grpcio-tools==1.81.1
	@PYTHONPATH=. .venv-proto/bin/python -m dds.wire.generate
	@git diff --exit-code --stat dds/wire

upgrade: ## resolve the newest versions and rewrite constraints.txt
	@rm -rf .venv-upgrade && $(PYTHON) -m venv .venv-upgrade
	@.venv-upgrade/bin/python -m pip install --quiet --disable-pip-version-check '.[fast,server,plot,test,docs]' hatchling
	@(head -2 constraints.txt; .venv-upgrade/bin/python -m pip freeze --exclude dds) > constraints.new
	@mv constraints.new constraints.txt && rm -rf .venv-upgrade

clean: ## remove environments and caches
	rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis out
