# Two commands: `make demo` shows the main job, `make test` runs the tests. ARGS is handed through.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready

# Tools that look at what we depend on, in an environment of their own.
AUDIT := build/audit

# Tests start hundreds of processes: where bytecode is not kept, each compiles all that it imports.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-fast check docs bench faults matrix fuzz format lock sbom audit clean

demo: $(READY)
	$(VENV)/bin/tocsin demo $(ARGS)

# Each process has a Kafka and a ClickHouse of its own (tests/scheduling.py) and waits for them a
# third of its time: so three for two cores.
test: $(READY)
	$(VENV)/bin/python -m pytest --numprocesses 3 $(ARGS)

# What needs no service, no Go, no npm and no ledger of 100,000 documents.
test-fast: $(READY)
	$(VENV)/bin/python -m pytest --numprocesses 2 --ignore tests/services --ignore tests/faults \
		-m "not builds and not large" $(ARGS)

# What a change must pass beside its tests.
check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy build/types/tocsin

# Writes what docs/ tells from the code; tests compare.
docs: $(READY)
	$(VENV)/bin/python -m tocsin.agents.docs.asyncapi
	$(VENV)/bin/python -m tocsin.agents.docs.data_dictionary
	$(VENV)/bin/python -m tocsin.agents.docs.diagrams
	$(VENV)/bin/python -m tocsin.agents.deployment.manifests
	$(VENV)/bin/python -m tocsin.agents.docs.papers
	$(VENV)/bin/python -m tocsin.agents.docs.policies
	$(VENV)/bin/python -m tocsin.agents.docs.security

bench: $(READY)
	$(VENV)/bin/python tests/bench/run.py $(ARGS)

# Kills, freezes and cuts off whatever runs, and judges by the topics: docs/reliability.md.
faults: $(READY)
	$(VENV)/bin/python tests/faults/run.py $(ARGS)

# Every program on Kafka of many releases and with a registry; writes docs/compatibility.md.
matrix: $(READY)
	$(VENV)/bin/python tests/matrix/run.py $(ARGS)

# A million mutants of whatever is read from outside, and 200 examples of each route of the web.
fuzz: $(READY)
	$(VENV)/bin/python tests/fuzz/run.py $(ARGS)
	FUZZ_EXAMPLES=200 $(VENV)/bin/python -m pytest tests/services/test_web.py \
		-k keeps_its_own_description --timeout 3600

format: $(READY)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Needs uv; writes versions and hashes, no addresses.
lock:
	uv pip compile --universal --generate-hashes --python-version 3.11 --extra dev --extra otel \
		--no-annotate --no-header --upgrade --output-file requirements.lock pyproject.toml
	uv pip compile --universal --generate-hashes --python-version 3.11 \
		--no-annotate --no-header --upgrade --output-file deploy/audit.lock deploy/audit.in

# Every package of the lock with version and hashes, as CycloneDX.
sbom: $(AUDIT)/.ready
	$(AUDIT)/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.json

# Asks a service on the internet; 1 tells of known holes, 2 that it could not be asked.
audit: $(AUDIT)/.ready
	@rm -f build/audit.json
	@$(AUDIT)/bin/pip-audit --require-hashes --disable-pip --progress-spinner off --format json \
		--output build/audit.json --requirement requirements.lock \
		|| { test -s build/audit.json && { cat build/audit.json; exit 1; } \
		|| { echo "audit: the vulnerability service could not be asked; nothing is known" >&2; \
		exit 2; }; }

$(AUDIT)/.ready: deploy/audit.lock
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement deploy/audit.lock
	touch $(AUDIT)/.ready

# The folders become tocsin.* by setuptools' mapping, which type checkers don't follow: links do.
$(READY): requirements.lock pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	mkdir -p build/types/tocsin
	for part in streams schemas agents; do ln -sfn ../../../$$part build/types/tocsin/$$part; done
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info
