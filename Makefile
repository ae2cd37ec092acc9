# `make up` and `make test` are all a newcomer needs; each sets itself up first.
PYTHON ?= python3
VENV   ?= .venv
# Many tests wait for real processes and clocks: a third pair of hands is worth it on two cores.
JOBS   ?= 3
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed-from-lock
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV     := $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

# uv installs everything from the lock (hash-checked) in seconds; uv itself is hash-checked by pip. Where uv cannot
# reach the packages (a proxy or mirror that only pip is set up for), pip installs the same lock, slower.
$(STAMP): requirements/dev.lock requirements/bootstrap.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes -r requirements/bootstrap.lock
	@$(UV) --require-hashes -r requirements/dev.lock || $(PIP) --require-hashes -r requirements/dev.lock
	@$(UV) --no-deps --no-build-isolation -e . || $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: setup
setup: $(STAMP) ## install the locked dependencies into .venv

.PHONY: up
up: $(STAMP) ## run the whole system on this machine, with sample leads (ARGS="--port 8081")
	@$(BIN)/c2s up $(ARGS)

.PHONY: test
test: $(STAMP) ## run every test on real servers, JOBS files at a time
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: bench
bench: $(STAMP) ## every figure beside its floor, interleaved (ARGS="--only ingress --rounds 5")
	@PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

.PHONY: bench-smoke
bench-smoke: $(STAMP) ## the bench in small, asserting on commands, calls and bytes, never on times (part of make test)
	@$(BIN)/pytest -q tests/bench $(ARGS)

.PHONY: scale
scale: $(STAMP) ## a million webhooks in the record: written, asked, rebuilt (ARGS="--events 100000")
	@PYTHONPATH=tests $(BIN)/python -m scale $(ARGS)

.PHONY: outage
outage: $(STAMP) ## Redis off for a whole minute under 20 webhooks a second (the tests take 20 s)
	@OUTAGE_SECS=60 $(BIN)/pytest tests/acceptance/test_guarantees.py -k away_under_load

.PHONY: chaos
chaos: $(STAMP) ## kill everything for a while and check the promises (ARGS="--seed 7 --minutes 10 --leads 700")
	@PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

# The fuzzer is installed only when asked for: it has wheels for few machines.
.PHONY: fuzz
fuzz: $(STAMP) ## fuzz what strangers reach first: bodies and headers (ARGS="--minutes 10")
	@$(UV) --require-hashes -r requirements/fuzz.lock || $(PIP) --require-hashes -r requirements/fuzz.lock
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

# Tools for the image are installed only when asked for, beside everything else.
.PHONY: image
image: $(STAMP) ## lint the Dockerfile and carry out its steps in clean folders, as another user, read-only
	@PYTHONPATH=tests $(BIN)/python -m image $(ARGS)

.PHONY: audit
audit: $(STAMP) ## known faults of the locked dependencies (needs the advisory service; says loudly where it is away)
	@PYTHONPATH=tests $(BIN)/python -m image.audit

.PHONY: lint
lint: $(STAMP) ## formatter, linters, types, import layers, shell scripts, spelling
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/lint-imports
	@$(BIN)/shellcheck ops/scripts/*.sh .ci/run
	@$(BIN)/codespell

.PHONY: format
format: $(STAMP) ## rewrite the code in the house style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: lock
lock: $(STAMP) ## resolve the dependencies anew into requirements/*.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command "make lock" pyproject.toml -o requirements/runtime.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command "make lock" --extra dev -c requirements/runtime.lock pyproject.toml -o requirements/dev.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command "make lock" --extra fuzz -c requirements/runtime.lock pyproject.toml -o requirements/fuzz.lock
	@printf 'cyclonedx-bom>=7\nhadolint-bin>=2.12\n' | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command "make lock" - -o requirements/image.lock
	@echo uv | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command "make lock" - -o requirements/bootstrap.lock
