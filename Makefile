# make book: the demo, run and rendered to _build/html/index.html.   make test: the tests.   make test-slow: the rest.
# make pdf: the built book as one PDF, _build/book.pdf; needs Chromium.
# All first make .venv from requirements.lock if it is missing or older.
PYTHON ?= python3
CORES ?= $(shell nproc)
# Where to get a CPU-only torch, say https://download.pytorch.org/whl/cpu; empty: the package index's own build.
TORCH_INDEX ?=

# A published experiment to run again: make reproduce EXPERIMENT=demo (HUB=DIR: a mirror of the Hub).
EXPERIMENT ?= demo
HUB ?=

.PHONY: book pdf test test-slow reproduce clean
book: .venv/installed
	.venv/bin/trusteq run experiments/demo.yaml --cores $(CORES)
	.venv/bin/trusteq book

pdf: book
	.venv/bin/python -m trusteq.pages.pdf _build/book.pdf

test: .venv/installed
	.venv/bin/python -m pytest

# Simulations at length, kills, the whole demo: before such a piece of work is called done.
test-slow: .venv/installed
	.venv/bin/python -m pytest -m slow

reproduce: .venv/installed
	.venv/bin/trusteq reproduce $(EXPERIMENT) --cores $(CORES) $(if $(HUB),--hub $(HUB))

LOCKED = .venv/bin/pip install --quiet --require-hashes --no-deps
.venv/installed: requirements.lock requirements-cuda.lock
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(LOCKED) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.lock
	case "$$(uname)-$$(.venv/bin/pip freeze | grep '^torch==')" in \
	  *+cpu | Darwin-*) ;; *) $(LOCKED) -r requirements-cuda.lock ;; esac
	.venv/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf _build book/runs results
