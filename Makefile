# Every target is explained by `make help`; each is a line or two, and makes what it needs.
.DEFAULT_GOAL := help
LAB = cargo run -q -p e2e --bin lab --
DENY = PATH="$$PATH:$${WARREN_CACHE:-$$HOME/.cache/warren}/bin" cargo deny

help: ## this text
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what a bare Debian machine with Rust and Go lacks (root)
	@command -v cc >/dev/null || (apt-get -qq update && apt-get -qq install -y gcc libc6-dev)
	$(LAB) setup

tools: setup ## install what the checks need besides: rustfmt, clippy, cargo-deny
	$(LAB) setup --checks

demo: setup ## a real tenant behind a firewall, its node reached through the tunnel; stays up, a lab that is up goes
	$(LAB) demo

demo-down: ## end the demo and remove every trace of it
	$(LAB) down

lab-up: setup ## only the management cluster, to try things by hand; a lab that is up goes
	$(LAB) up

lab-down: demo-down ## the same as demo-down

check: tools ## format, lints, docs, licences, and every test that needs no cluster
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	$(DENY) check bans licenses sources
	@if $(DENY) fetch db; then $(DENY) check --disable-fetch advisories; else echo "advisories: NOT CHECKED, their database cannot be reached" >&2; fi
	cargo test --workspace

programs: setup ## build Kubernetes, etcd, helm and the Go peers into the cache
	$(LAB) build

interop: programs ## the tunnel against peers written in Go; prints the table
	$(LAB) interop --build development

e2e: programs ## every scenario in the lab: real kubelets, kubeadm, helm; a lab that is up goes
	$(LAB) test --build development

test: export WARREN_REQUIRE_KUBE = 1
test: programs check interop e2e ## everything that a change can break (root); a lab that is up goes

images: setup ## our images as OCI archives in target/images
	$(LAB) images

crds: ## write crds/ from operator/src/api (the chart links to it)
	cargo run -q -p operator --bin crdgen -- crds

bench: setup ## measure the tunnel beside plain relays and the reference, for 20 minutes; BENCH=quick for 3
	cargo build -q --release -p tunnel -p e2e --bins && $${CARGO_TARGET_DIR:-target}/release/bench $(BENCH:%=--%)

soak: setup ## churn through the tunnel for 10 minutes, after which it must hold what it held before; SOAK=quick for 20 s
	cargo build -q --release -p tunnel -p e2e --bins && $${CARGO_TARGET_DIR:-target}/release/bench soak $(SOAK:%=--%)

fuzz: ## fuzz the tunnel's parsers for a minute each (needs nightly and cargo-fuzz)
	cd tunnel/fuzz && for target in $$(cargo +nightly fuzz list); do cargo +nightly fuzz run $$target -- -max_total_time=60 || exit 1; done

clean: demo-down ## remove what was built here; the cache of built programs stays
	cargo clean

.PHONY: help setup tools demo demo-down lab-up lab-down check programs interop e2e test images crds bench soak fuzz clean
