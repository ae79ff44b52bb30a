# Builds and runs everything; `make help` lists the targets.
# Needs Python 3.11 or 3.12 with its venv module and headers, git, gcc, g++ and make.

SUITE ?= smoke
PLATFORM ?= here
BASE ?= origin/main
# The first of these that works is taken; `make PYTHON=/path/to/python3` names another.
PYTHON ?= python3 python3.12 python3.11

# Edits that the proof plans, and those that it runs as well.
EDITS ?= 1000
RUNS ?= 30

# tests/groups.py says which tests stay together. Those of the pipeline have a process more than there are cores, for
# servers are mostly waited for.
PARALLEL := --maxprocesses 8 --dist loadgroup

LOCK := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Images switch byte code off; then every process would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help smoke gpu-smoke check test test-torch test-pipeline test-slurm test-kubernetes prove-invalidation lint \
    format bench docs docs-links venv envs validate train-env client-env docs-env locks pictures schemas clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | \
	    while IFS='|' read -r target what; do printf '%-18s %s\n' "$$target" "$$what"; done

smoke: .venv/bin/llm-dissect train-env client-env ## Measure on this machine's CPU, draw every table and figure (SUITE=full: every method)
	@echo "Measuring the $(SUITE) suite on the CPU; the first run also compiles DeepSpeed's CPU optimizer, for a minute"
	@snakemake --profile profiles/cpu all --config suite=$(SUITE)

gpu-smoke: .venv/bin/llm-dissect ## Measure a few cells on this machine's GPUs, within ten minutes of GPU time (PLATFORM=here)
	@python scripts/gpu_smoke.py $(PLATFORM)

check: lint ## Check style and types, run the unit tests: within 6 minutes on two cores
	@echo "Running the unit tests"
	@pytest -n logical $(PARALLEL) tests/unit

test: check test-torch test-pipeline ## Run every test that this machine can run, but the longest: an hour on two cores

test-torch: .venv/.complete train-env ## Test the real libraries of training, in their environment
	@echo "Testing what needs torch, in the train environment"
	@envs/run train -- python tests/in_train.py --dist worksteal -m torch

test-pipeline: .venv/.complete train-env client-env ## Test the pipeline, the page and servers
	@echo "Testing the pipeline"
	@pytest -n $$(($$(nproc) + 1)) $(PARALLEL) -m "not torch and not slurm and not kubernetes" --ignore tests/unit

test-slurm: .venv/.complete train-env ## Test on a real Slurm cluster on this machine (as root, with Debian's packages), for 17 minutes
	@pytest -m slurm tests/e2e/slurm

test-kubernetes: .venv/.complete ## Test on a Kubernetes control plane on this machine (with Go and Debian's etcd-server), for 5 minutes
	@envs/run --build kubernetes
	@echo "Building Kubernetes; the first time takes half an hour on two cores"
	@cd tests/e2e/kubernetes && CGO_ENABLED=0 go build -buildvcs=false -o $(CURDIR)/.cache/kubernetes/ tool
	@pytest -m kubernetes tests/e2e/kubernetes

prove-invalidation: .venv/.complete ## Edit the configuration EDITS=1000 times at random, compare plans with what must run
	@PYTHONPATH=scripts:tests python -m proof.prove --edits $(EDITS) --runs $(RUNS)

lint: .venv/bin/llm-dissect ## Check style and types
	@echo "Checking style and types"
	@ruff check --quiet
	@ruff format --quiet --check
	@mypy --no-error-summary
	@PYTHONPATH=scripts lint-imports --no-cache --no-logo
	@snakefmt --check Snakefile rules

format: .venv/.complete ## Bring the sources into shape
	@ruff check --quiet --fix
	@ruff format --quiet
	@snakefmt Snakefile rules

bench: .venv/.complete train-env ## Measure planning, no-op runs, duty cycles, isolation (BENCH=name for one); results in results/bench/
	@echo "Measuring the pipeline itself"
	@PYTHONPATH=scripts:tests python -m bench $(BENCH)

docs: docs-env ## Build the docs as a site in docs/_build/html, without a network
	@echo "Building the docs"
	@envs/run docs -- python -m sphinx -M html docs docs/_build --quiet --fail-on-warning
	@grep -rhoE 'href="https?://[^"]+' --include='*.html' docs/_build/html | cut -c7- | sort -u \
	    >docs/_build/external_links.txt
	@echo "The site is docs/_build/html/index.html; the addresses that it names are in docs/_build/external_links.txt"

docs-links: docs-env ## Ask every address that the docs name whether it still answers (needs a network)
	@envs/run docs -- python -m sphinx -M linkcheck docs docs/_build --quiet

validate: .venv/bin/llm-dissect ## Check the reference results that this branch changes, as a pull request does (BASE=origin/main)
	@files=$$(git diff --name-only --diff-filter=d $(BASE)...HEAD -- 'config/references/*/*') || exit; \
	sets=$$(echo "$$files" | cut -d/ -f3 | sort -u); \
	test -n "$$sets" || echo "Nothing to check: no reference results are committed beyond $(BASE)."; \
	for set in $$sets; do ./llm-dissect validate into="$$set" || exit; done

venv: .venv/bin/llm-dissect ## Build .venv alone: enough to plan, and to draw what is measured

envs: .venv/bin/llm-dissect train-env client-env ## Build the environments ahead, for nodes without a network
	@if command -v nvidia-smi >/dev/null; then \
	    echo "Building what GPUs need: vllm and sglang (minutes), then train and train-flash for Python 3.12." \
	        "train-flash compiles flash-attn (minutes to hours), only for cells with F: docs/your-gpu.md"; \
	    envs/run --build vllm && envs/run --build sglang && envs/run --build train@3.12 && envs/run --build train-flash@3.12; fi

train-env: .venv/.complete
	@python -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || { \
	    echo "Python.h is missing: DeepSpeed's CPU optimizer needs Python's headers (python3-dev on Debian)." >&2; exit 1; }
	@envs/run --build train

client-env: .venv/.complete
	@envs/run --build client

docs-env: .venv/.complete
	@envs/run --build docs

locks: .venv/.complete ## Compile the lock files anew from pyproject.toml and envs/*/requirements.in
	@echo "Compiling the lock files"
	@$(LOCK) --all-extras pyproject.toml --output-file envs/workflow/requirements.txt
	@for name in client docs kubernetes sglang train train-flash vllm; do \
	    (cd envs/$$name && $(LOCK) requirements.in --output-file requirements.txt) || exit; \
	done

# Without a platform of this machine, the results are those that the project ships.
pictures: .venv/.complete ## Draw the pictures of README and docs from the reference results, with Debian's chromium
	@snakemake --profile profiles/cpu all --config platforms=[]
	@for name in fig_attention fig_collectives latency; do \
	    cp results/figures/$$name.png docs/images/h200_$$name.png || exit; \
	done
	@python scripts/screenshot.py docs/images/report.png

schemas: .venv/.complete ## Write what follows from the models of the configuration: JSON Schemas, docs/reference.md
	@echo "Writing the JSON Schemas and the reference"
	@python scripts/write_schemas.py
	@python scripts/write_reference.py

clean: ## Remove everything that is built, but no results
	rm -rf docs/_build .venv .envs .cache .snakemake .mypy_cache .pytest_cache .ruff_cache .hypothesis

# uv comes by pip, hash-checked like all else; it installs the rest.
.venv/.bootstrapped:
	@rm -rf .venv; \
	for python in $(PYTHON); do \
	    $$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	        2>/dev/null && break; \
	    python=; \
	done; \
	if test -z "$$python"; then \
	    echo "No Python 3.11 or 3.12 with its venv module among: $(PYTHON)." \
	        "Install one, or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	echo "Creating .venv with $$($$python --version)"; \
	$$python -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' envs/workflow/requirements.txt >.venv/uv.txt
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv.txt
	@touch $@

.venv/.complete: envs/workflow/requirements.txt | .venv/.bootstrapped
	@echo "Installing the workflow's environment into .venv"
	@uv pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode envs/workflow/requirements.txt
	@touch $@

# Works from any folder while the environment is active.
.venv/bin/llm-dissect: | .venv/.complete
	@ln -sf ../../llm-dissect $@
