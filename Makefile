# The project's vocabulary. `make` alone prints it; the recipes are short, the work is in scripts.

# With its options, because the make of macOS, 3.81, has no other place for them.
SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help

# Runs a command with nats-server and redis-server found or installed.
with_servers := deploy/local/servers.sh
scripts := .ci/run bench/*.sh clients/*/*.sh deploy/*.sh deploy/*/*.sh fuzz/*.sh k8s/*.sh tests/*/*.sh
tools := target/tools
manifests := k8s/base k8s/overlays/*
client := clients/javascript
# Runs one of the client's npm scripts where Node is; elsewhere prepare.sh says so.
client_run = if $(client)/prepare.sh; then set -x; npm --prefix $(client) run --silent $(1); else (($$? == 3)); fi

.PHONY: help
help: ## Print the targets
	@echo 'make TARGET, one of:'
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf '%-16s %s\n' "$$target" "$$text"; done

.PHONY: run
run: ## Run the whole system here until Ctrl-C (GATEWAYS=2 make run: two gateways)
	@exec $(with_servers) deploy/local/run.sh

.PHONY: client
client: ## Build what gateways serve, client.js and widget.js, from clients/javascript (needs Node and npm)
	NODE_TESTS=required $(client)/prepare.sh
	npm --prefix $(client) run --silent build

.PHONY: build
build: ## Build all binaries, optimised
	cargo build --workspace --bins --release

.PHONY: test
test: lint test-client ## Everything: lint, unit tests, black-box tests (NATS_SERVER=path: on another server)
	cargo build --workspace --bins
	$(with_servers) cargo test --workspace

.PHONY: test-unit
test-unit: ## Unit tests only: no server needed
	cargo test --workspace --exclude goch-tests --exclude goch-load
	cargo test -p goch-load --lib

.PHONY: test-client
test-client: ## Unit tests of the JavaScript client, where Node is (SEEDS=3000, SEED=7: one)
	@$(call client_run,test)

.PHONY: test-blackbox
test-blackbox: ## Black-box tests only: real servers, real service binaries
	cargo build --workspace --bins
	$(with_servers) cargo test -p goch-tests
	$(with_servers) cargo test -p goch-load --test smoke

.PHONY: bench
bench: ## Measure Goch beside a floor, bare NATS and Node's servers; writes docs/performance.md
	$(with_servers) bench/run.sh

.PHONY: chaos
chaos: ## Load, faults and a checker (SEED=1 SECONDS=60 GATEWAYS=3 WORKERS=4; CLUSTER=1: on three current NATS servers)
	cargo build --workspace --bins
	nats=$${NATS_SERVER:-$(if $(filter 1,$(CLUSTER)),$$(deploy/local/fetch-nats.sh $(tools)))}; \
		NATS_SERVER=$$nats $(with_servers) \
		env SEED=$(SEED) SECONDS=$(SECONDS) GATEWAYS=$(GATEWAYS) WORKERS=$(WORKERS) CLUSTER=$(CLUSTER) \
		target/debug/chaos

.PHONY: soak
soak: ## Sockets and channels that come and go; fails if memory grows (SECONDS=180 CLIENTS=50)
	cargo build --workspace --bins
	$(with_servers) env SECONDS=$(SECONDS) CLIENTS=$(CLIENTS) target/debug/soak

.PHONY: fuzz
fuzz: ## Fuzz what parses strangers' input, guided by coverage (FUZZ_SECONDS=60 each, FUZZ_TARGETS='event name')
	fuzz/run.sh $(or $(FUZZ_SECONDS),60) $(FUZZ_TARGETS)

.PHONY: mutants
mutants: ## Change the code a line at a time, name what no test notices; hours (MUTANTS='--re gateway/src/room/')
	$(with_servers) tests/mutants/run.sh $(MUTANTS)

.PHONY: lint
lint: ## Format, clippy, rustdoc, the client's types, shell scripts, manifests; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
	@$(call client_run,check)
	@if command -v shellcheck >/dev/null; then \
		set -x; shellcheck -x $(scripts); \
	else \
		echo 'shellcheck is not installed: the scripts are not checked'; \
	fi
	tests/portable/check.sh $(scripts) Makefile
	@if render=$$(k8s/kustomize.sh --present $(tools) 2>/dev/null); then \
		set -x; for folder in $(manifests); do $$render "$$folder" >/dev/null; done; \
	else \
		echo 'there is no kubectl: the Kubernetes manifests are not rendered (make k8s-check fetches what it needs)'; \
	fi

.PHONY: check-macos
check-macos: ## Check that the Rust code compiles for macOS, where rustup has its target (rustup target add x86_64-apple-darwin)
	tests/portable/macos.sh

.PHONY: format
format: ## Format the Rust code
	cargo fmt --all

.PHONY: api-docs
api-docs: ## Write docs/openapi/ and docs/asyncapi.json anew from the code
	REWRITE_API_DOCS=1 cargo test -p gateway -p chat-admin --lib the_committed_document

.PHONY: deny
deny: ## Check licences, banned crates and sources of the dependencies, with cargo-deny
	@if ! cargo deny --version >/dev/null 2>&1; then \
		echo 'cargo-deny is missing: cargo install --locked cargo-deny'; exit 1; \
	fi
	cargo deny check licenses bans sources

.PHONY: k8s-check
k8s-check: ## Render the Kubernetes manifests, check each object against its schema, and the compose files
	k8s/check.sh $(tools)

.PHONY: nats-current
nats-current: ## Fetch a current nats-server and print where it is, for NATS_SERVER=path
	@deploy/local/fetch-nats.sh $(tools)

.PHONY: clean-data
clean-data: ## Remove what `make run` has kept
	rm -rf data
