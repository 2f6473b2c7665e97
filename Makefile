# Needs Python 3.11 or newer and make; everything else comes from here. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
STACK := $(BIN)/python -m config.stack
# As a module, so that it finds the extractor of templates in this tree.
BABEL := $(BIN)/python -m babel.messages.frontend
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help run demo promises test test-all planted storm bench check checks fmt messages reset
.NOTPARALLEL:

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run.stamp ## everything in the foreground with demo data, until Ctrl-C
	@$(STACK) run

demo: .venv/run.stamp ## the same, then a clean stop; fails when a step of the demo did
	@$(STACK) demo

test: .venv/dev.stamp ## the test suite with branch coverage
	@$(STACK) provision test
	@$(STACK) exec -- $(BIN)/pytest -n 2 -m "not full" --cov --cov-report=term $(TESTS)

test-all: .venv/dev.stamp ## the full matrix: every page, language, size and theme
	@$(STACK) provision test
	@$(STACK) exec -- $(BIN)/pytest -n 2 --cov --cov-report=term $(TESTS)

planted: .venv/dev.stamp ## plant a fault in each behaviour of the mail path: its test must fail (long)
	@$(STACK) provision test
	@$(STACK) exec -- $(BIN)/python -m tests.planted $(NUMBERS)

storm: .venv/dev.stamp ## hurt everything while mail flows, 20 runs (long); ROUTE=direct or esp for other routes
	@$(BIN)/python -m tests.storm --seeds 20 --messages 2000 --route $(or $(ROUTE),own)

bench: .venv/dev.stamp ## measure against Postfix; ONLY=relay-reused for one lane
	@$(STACK) provision bench
	@$(BIN)/python -m tests.bench

check: .venv/dev.stamp ## lint, types, import contracts, templates, migrations
	@$(STACK) exec -- $(MAKE) --no-print-directory checks

checks:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --quiet --lint templates
	$(BIN)/python manage.py check
	$(BIN)/python manage.py makemigrations --check --dry-run

fmt: .venv/dev.stamp ## format code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

messages: .venv/dev.stamp ## collect texts into the Danish catalogue and compile it
	@mkdir -p var config/locale
	$(BABEL) -q extract -F babel.cfg --no-location -k _text -k gettext_lazy -k gettext_noop -k ngettext_lazy:1,2 -o var/messages.pot .
	$(BABEL) -q update --ignore-pot-creation-date --init-missing --no-fuzzy-matching --ignore-obsolete -w 100 -D django -i var/messages.pot -d config/locale -l da
	$(STACK) messages

promises: .venv/run.stamp ## check every promise on the running stack; fails when one does not hold
	@$(BIN)/python manage.py promises

reset: ## forget var/: databases, mailbox, secrets, certificates
	@if [ -x $(BIN)/python ]; then $(STACK) reset; else rm -rf var; fi

.venv/run.stamp: requirements.txt
	@$(PYTHON) -m config.stack.ports
	@$(PYTHON) -m config.stack.virtualenv $<
	@touch $@

.venv/dev.stamp: requirements-dev.txt
	@$(PYTHON) -m config.stack.virtualenv $<
	@touch $@ .venv/run.stamp
