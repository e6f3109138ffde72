# Every command a person or CI needs. Each does its own set-up; a second run finds it done.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

# ---- which Python, which Node -------------------------------------------------------------------------------------
is_python = $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$(call is_python,$$p) && echo $$p && exit; done; echo python3)
VENV := inference/.venv
VENV_PYTHON := $(VENV)/bin/python

NODE_MAJOR := $(shell cat .nvmrc)
HAS_NODE := $(shell node -e 'const [a, b] = process.versions.node.split("."); \
	process.exit(a > 22 || (a == 22 && b >= 19) ? 0 : 1)' 2>/dev/null && echo yes)
ifneq ($(HAS_NODE),yes)
NODE_PACKAGE := node-$(shell uname -s | tr A-Z a-z)-$(shell uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
NODE_READY := .cache/node/node_modules/$(NODE_PACKAGE)/package.json
export PATH := $(CURDIR)/.cache/node/node_modules/$(NODE_PACKAGE)/bin:$(PATH)
endif

# ---- stamps: each says that one part of the set-up is done ----------------------------------------------------------
STEP := .ci/step
NPM_READY := node_modules/.millm-ready
PRISMA_READY := gateway/src/storage/generated/.millm-ready
PYTHON_READY := $(VENV)/.millm-ready
COMPAT := inference/compat
COMPAT_READY := $(COMPAT)/.venv/.millm-ready
WEB_READY := web/build/.millm-ready
MODEL_READY := .cache/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf
WEB_SOURCES := $(shell find web/src web/static web/*.config.* web/package.json proto/generated proto/live.ts -type f 2>/dev/null)

.PHONY: help setup dev demo generate check audit licences soak sizes test test-gateway test-inference test-demo test-web e2e screenshots bench db-migrate up down clean
.PHONY: preflight preflight-ports node-ready python-ready web-ready compat-ready check-python check-node

help: ## this list
	@echo "miLLM: a language model behind the OpenAI API, opened up while it runs"
	@echo
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-15s %s\n", $$1, $$2 }'

setup: preflight ## install everything: Node packages, Python environment, database client, demo model
	@$(MAKE) -j2 node-ready python-ready

node-ready: $(NPM_READY) $(PRISMA_READY) ; @:
python-ready: $(PYTHON_READY) $(MODEL_READY) ; @:
web-ready: $(WEB_READY) ; @:
compat-ready: $(COMPAT_READY) ; @:

preflight:
	@test -e $(PYTHON_READY) -a -e $(NPM_READY) || $(PYTHON) inference/demo/launcher/preflight.py --set-up

preflight-ports:
	@$(PYTHON) inference/demo/launcher/preflight.py --ports

ifneq ($(HAS_NODE),yes)
$(NODE_READY): .nvmrc
	@$(STEP) node "Fetching Node $(NODE_MAJOR)" \
		npm install --prefix .cache/node --no-save --no-package-lock --no-audit --no-fund $(NODE_PACKAGE)@$(NODE_MAJOR)
	@touch $@
endif

# Nothing we use needs its install script (Prisma's would fetch an engine that we do without), so none is run.
$(NPM_READY): package.json package-lock.json proto/package.json gateway/package.json web/package.json | $(NODE_READY)
	@$(STEP) npm "Installing the Node packages" npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

$(PRISMA_READY): prisma/schema.prisma $(NPM_READY)
	@$(STEP) prisma "Generating the database client" npm run --silent generate:client -w gateway
	@touch $@

# torch alone and pinned first: a package asking for it later finds it and does not pull another build.
$(PYTHON_READY): inference/pyproject.toml
	@$(STEP) venv "Making the Python environment" $(PYTHON) -m venv $(VENV)
	@$(STEP) torch "Installing PyTorch" $(VENV_PYTHON) -m pip install --disable-pip-version-check torch==2.13.0
	@$(STEP) python "Installing the Python packages" \
		$(VENV_PYTHON) -m pip install --disable-pip-version-check -e 'inference[sae,dev]'
	@touch $@

# Sees the packages of the sidecar's environment through the .pth file, and adds its own without changing those.
$(COMPAT_READY): $(COMPAT)/requirements.txt $(PYTHON_READY)
	@$(STEP) compat-venv "Making the environment of the compatibility suite" $(VENV_PYTHON) -m venv $(COMPAT)/.venv
	@$(VENV_PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(COMPAT)/.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sidecar.pth"
	@$(STEP) compat "Installing the compatibility suite" \
		$(COMPAT)/.venv/bin/python -m pip install --disable-pip-version-check -r $(COMPAT)/requirements.txt
	@touch $@

$(MODEL_READY): | $(PYTHON_READY)
	@$(STEP) model "Fetching the demo model" $(VENV_PYTHON) inference/demo/fetch_model.py

$(WEB_READY): $(WEB_SOURCES) $(NPM_READY)
	@$(STEP) web "Building the dashboard" npm run --silent build -w web
	@touch $@

# ---- run ------------------------------------------------------------------------------------------------------------
demo: preflight-ports ## everything up with a real model and a real SAE, on http://localhost:8000
	@$(MAKE) setup
	@$(MAKE) web-ready
	@exec $(VENV_PYTHON) inference/demo/up.py

dev: preflight-ports ## the same, reloading what changes; FAKE=1 needs neither torch nor a model
	@$(MAKE) $(if $(FAKE),node-ready,setup)
	@exec $(if $(FAKE),$(PYTHON),$(VENV_PYTHON)) inference/demo/up.py --dev $(if $(FAKE),--fake)

up: ## the same in containers: gateway, sidecar, PostgreSQL, Redis
	docker compose up --build --detach --wait

down: ## stop the containers; their volumes stay
	docker compose down

db-migrate: node-ready ## apply the migrations to DATABASE_URL, or to the embedded database
	@npm run --silent db:migrate

# ---- make and check -------------------------------------------------------------------------------------------------
generate: setup ## write every generated file again
	@npm run --silent generate

check: setup ## formatting, lint, types, drift of generated files, directions, .env.example, audit
	@$(MAKE) -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) check-python check-node audit

check-python: python-ready
	@cd inference && .venv/bin/python -m ruff format --check . && .venv/bin/python -m ruff check .
	@cd inference && .venv/bin/python -m mypy
	@cd inference && .venv/bin/python -m pytest tests/test_directions.py tests/test_env_example.py tests/test_error_docs.py tests/test_docs_paths.py

audit: setup ## known vulnerabilities (where advisories can be reached), secrets, licences; AUDIT=strict skips nothing
	@$(VENV_PYTHON) .ci/audit.py

licences: setup ## whose work we ship, under which licence
	@$(VENV_PYTHON) .ci/licences.py

check-node: node-ready python-ready
	@npm run --silent check
	@npm run --silent check:drift

sizes: ## the longest files, to look at now and then
	@git ls-files 'gateway/**' 'inference/**' 'web/**' 'proto/**' | grep -E '\.(ts|svelte|py|mjs)$$' \
		| grep -vE 'generated|contract\.py' | xargs wc -l | sort -rn | sed -n '2,26p'

# ---- test: RESULTS is a folder for JUnit files, which the summary reads -----------------------------------------------------------------------------------------------------------
junit = $(if $(RESULTS),--reporter=default --reporter=junit --outputFile.junit=$(RESULTS)/$(1).xml)

PYTEST_WORKERS ?= 2

test: setup ## every suite, then a summary of what ran
	@$(MAKE) -j2 web-ready compat-ready
	@$(VENV_PYTHON) .ci/suites.py inference demo gateway web e2e

PYTEST = cd inference && OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $(PYTEST_WORKERS) \
	$(if $(RESULTS),--junitxml=$(RESULTS)/$(1).xml)

test-inference: python-ready ## the sidecar on tiny models: pytest
	@$(call PYTEST,inference) -m 'not demo' --dist worksteal \
		--cov=millm_inference --cov-report=term --cov-fail-under=80

# Without coverage: up to Python 3.13 it makes reading a GGUF file several times slower, and the stack runs in other processes.
test-demo: python-ready compat-ready node-ready ## the demo model, and everything as `make demo` starts it: pytest
	@$(call PYTEST,demo) -m demo --dist loadfile

test-gateway: node-ready ## the gateway: on PGlite, and again on PostgreSQL where MILLM_TEST_DATABASE_URL names one
	@npm run --silent test -w gateway -- $(call junit,gateway)

test-web: node-ready ## the dashboard's units
	@npm run --silent test -w web -- $(call junit,web)

CHROMIUM := $(firstword $(CHROMIUM_PATH) $(wildcard /usr/bin/chromium-headless-shell /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome))

e2e: setup ## the dashboard in Chromium, where there is one
ifeq ($(CHROMIUM),)
	@echo "  skipped: there is no Chromium here (Debian: apt install chromium, or name one in CHROMIUM_PATH)"
else
	@$(MAKE) web-ready
	@cd web && npx playwright test
endif

soak: setup web-ready ## MINUTES (15) of mixed load on the real stack, with kills: flat memory, no leaked slot, no error of ours
	@cd inference && .venv/bin/python -m soak --minutes $(or $(MINUTES),15)

screenshots: setup ## write the pictures of docs/dashboard.md again
	@$(MAKE) web-ready
	@cd web && SCREENSHOTS=$(CURDIR)/docs/images npx playwright test tests/e2e/screenshots.spec.ts

bench: setup ## what steering and batching cost, side by side in one run
	@cd inference && .venv/bin/python -m bench $(PARTS)

clean: ## remove everything that make made, except your data
	rm -rf node_modules gateway/node_modules web/node_modules proto/node_modules web/build web/.svelte-kit \
		gateway/src/storage/generated $(VENV) $(COMPAT)/.venv inference/*.egg-info .cache
