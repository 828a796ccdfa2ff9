# The front door. `make serve` and `make test` work on a machine that has Python 3.11 or later and nothing else.
# Another interpreter: make PYTHON=python3.13 test. Flags of the proxy: make serve FLAGS='--port 3143'

CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
ifndef PYTHON
PYTHON := $(shell for candidate in $(CANDIDATES); do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)
endif
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
BIN := .venv/bin
TESTS := $(BIN)/python -m pytest --numprocesses auto
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Both are made again when a lock or the project's definition changes, or for another version of Python.
SERVE_READY := .venv/.serve-ready-$(VERSION)
DEV_READY := .venv/.dev-ready-$(VERSION)
E2E_READY := .venv/.e2e-ready-$(VERSION)

.PHONY: help serve test check portable e2e live bench bench-docker docs lock clean
.DEFAULT_GOAL := help

help:
	@echo "make serve   install into .venv and run the proxy; with flags: make serve FLAGS='--port 3143'"
	@echo "make test    install into .venv and run the tests; no internet needed once installed"
	@echo "make check   formatting, lint, types, layers, tests: what every change must pass"
	@echo "make portable  some tests once more, with what only Linux has taken away, as the program runs on macOS"
	@echo "make e2e     the real pip, uv, apt and other clients, Docker and Compose, through the proxy, to PyPI and the machine's own archives"
	@echo "make live    the real index of each kind, one page and one range each; says which could not be reached"
	@echo "make bench   measure against nginx, devpi, proxpi, apt-cacher-ng and squid; writes bench/RESULTS.md and the README's table"
	@echo "make bench-docker FLAGS=--prune   measure builds, direct against cached; empties the engine's build cache; writes the README's table"
	@echo "make docs    write docs/configuration.md anew from the settings' definitions"
	@echo "make lock    choose the newest dependencies and write the lock files anew"
	@echo "make clean   remove .venv and what tools left"

serve: $(SERVE_READY)
	@exec $(BIN)/python -m proxy serve $(FLAGS)

test: $(DEV_READY)
	$(TESTS)

check: $(DEV_READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 --follow-imports silent proxy/cli.py proxy/__main__.py proxy/config
	$(BIN)/lint-imports
	$(TESTS)

# What Linux alone has is taken away before the program is imported: it goes the way that it goes on macOS.
portable: $(DEV_READY)
	PYTHONPATH=$(CURDIR)/tests/portable $(TESTS) tests/flows tests/storage tests/web/test_sender.py \
		tests/web/test_sender_threads.py tests/web/test_responses.py tests/test_crash.py tests/test_operating_system.py \
		tests/test_cli.py tests/web/test_wakeful_loop.py tests/web/test_log_writer.py

e2e: $(E2E_READY)
	$(TESTS) --dist loadfile -m e2e -o timeout=900 tests/e2e

live: $(DEV_READY)
	$(BIN)/python -m tests.live

bench: $(DEV_READY)
	$(BIN)/python -m bench

bench-docker: $(DEV_READY)
	$(BIN)/python -m bench.docker $(FLAGS)

docs: $(DEV_READY)
	$(BIN)/python -c 'from proxy.config.reference import reference; print(reference(), end="")' > docs/configuration.md

# No address of an index may get into a lock: it comes from whoever installs.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
	--no-header --no-emit-index-url --no-emit-find-links --no-annotate
lock: $(DEV_READY)
	$(LOCK) pyproject.toml --all-extras --group dev --output-file requirements-dev.txt
	$(LOCK) pyproject.toml --constraint requirements-dev.txt --output-file requirements.txt
	$(LOCK) --group e2e --constraint requirements-dev.txt --output-file requirements-e2e.txt
	$(LOCK) --group build --constraint requirements-dev.txt --output-file requirements-build.txt

clean:
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(SERVE_READY): requirements.txt requirements-build.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later was found: install one, or name it: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is not Python 3.11 or later: install one, or name it: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, sudo apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version 2>/dev/null | grep -q "(python $(VERSION))" || $(PYTHON) -m venv --clear .venv
	$(INSTALL) --require-hashes -r requirements.txt -r requirements-build.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_READY): requirements-dev.txt $(SERVE_READY)
	$(INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

$(E2E_READY): requirements-e2e.txt $(DEV_READY)
	$(INSTALL) --require-hashes -r requirements-e2e.txt
	@touch $@
