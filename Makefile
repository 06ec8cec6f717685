# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
FAISS  := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
READY  := $(VENV)/.installed-$(FAISS)

.PHONY: help demo serve test lint types protos install clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(READY) ## create .venv with the package and its pinned dependencies

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(FAISS),demo,dev]'
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: $(READY) ## import real data, train, evaluate, serve, and show recommendations
	$(BIN)/segrec demo

serve: $(READY) ## train if need be, then leave the server running
	$(BIN)/segrec demo --serve

test: $(READY) ## lint, types, generated code, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m serving.generate --check
	$(BIN)/python -m pytest -n 2 --dist worksteal

protos: $(READY) ## generate serving/pb from proto/
	$(BIN)/python -m serving.generate

clean: ## remove what make made, but not your bundles
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
