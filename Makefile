# Two commands do all the set-up on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help quickstart test test-long lint bench reproduce proto image-size clean

help: ## Show what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp for each set of extras: installed again only when the project's metadata change.
$(VENV)/.installed-%: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing BioELX with [$(subst +,$(comma),$*)] into $(VENV)"
	@$(PIP) --editable '.[$(subst +,$(comma),$*)]'
	@touch $@
comma := ,

quickstart: $(VENV)/.installed-cpu+quickstart ## Build a knowledge base, serve it, link real mentions
	@$(BIN)/bioelx quickstart $(ARGS)

test: $(VENV)/.installed-cpu+quickstart+eval+dev ## Run the tests (under 12 minutes on two cores)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not long' $(ARGS)

test-long: $(VENV)/.installed-cpu+quickstart+eval+dev ## Run the tests that take longer
	@$(BIN)/python -m pytest -m long $(ARGS)

lint: $(VENV)/.installed-cpu+quickstart+eval+dev ## ruff, mypy, hadolint
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/hadolint Dockerfile

bench: $(VENV)/.installed-cpu+quickstart+eval+dev ## Measure the active release: mentions a second, latencies
	@$(BIN)/bioelx eval speed $(ARGS)

reproduce: $(VENV)/.installed-cpu+quickstart+eval+dev ## Build the snapshot, run what eval/expected holds: DATA=DIR
	@test -n "$(DATA)" || { echo "make reproduce DATA=DIR: name the folder that holds the benchmarks"; exit 2; }
	@$(BIN)/bioelx build
	@$(BIN)/bioelx eval reproduce --data "$(DATA)" $(ARGS)

proto: $(VENV)/.installed-cpu+quickstart+eval+dev ## Generate bioelx/v1 from proto/
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python proto/generate.py

image-size: $(VENV)/.installed-cpu+quickstart+eval+dev ## Install the image's CPU target in an empty folder, weigh and start it
	@$(BIN)/python -m pytest -m long -s tests/deploy/test_image.py $(ARGS)

clean: ## Remove what can be made again
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
