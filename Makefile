# Every target is explained by `make help`.
.DEFAULT_GOAL := help

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check: ## format, lints, docs, licences, and every test that needs no cluster
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	cargo test --workspace

crds: ## write crds/ from operator/src/api (the chart links to it)
	cargo run -q -p operator --bin crdgen -- crds

test: check ## everything that a change can break

.PHONY: help check crds test
