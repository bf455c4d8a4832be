# What one types. Every build is a release build of the whole workspace, so that RocksDB's C++ is
# compiled once (docs/decisions/0001-one-profile.md).

TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/release
TESTING := --release --config .cargo/test.toml --workspace

PAYMENTS ?= 5000000
SHARDS ?= 4
SEED ?= 42
WORKERS ?= 2
DEMO_DIR ?= .pelton/demo
ROUNDS ?= 100
SOAK_DIR ?= .pelton/soak

# How long each decoder is fuzzed; `none` where the sanitizer is missing.
FUZZ_SECONDS ?= 20
FUZZ_SANITIZER ?= address
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
# More memory than that for a few kilobytes of input is an error too.
FUZZ_MEMORY_MIB ?= 1024

.PHONY: help setup build demo test aws-sdk-rust soak bench fuzz ci

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what the build needs, or say how
	@.ci/setup

build: setup ## build everything, optimized
	@if [ ! -d "$(BIN)" ]; then echo "The first build compiles RocksDB: 10 to 15 minutes on two cores."; fi
	cargo build --release --workspace --bins

demo: build ## find fraud in 5 million payments, from the shard log to committed alerts
	@rm -rf "$(DEMO_DIR)/log" "$(DEMO_DIR)/out" "$(DEMO_DIR)/state" "$(DEMO_DIR)/checkpoints"
	@mkdir -p "$(DEMO_DIR)"
	@echo
	@"$(BIN)/payments" generate --payments $(PAYMENTS) --shards $(SHARDS) --seed $(SEED) \
	    --log "$(DEMO_DIR)/log" --labels "$(DEMO_DIR)/labels.jsonl"
	@echo
	@"$(BIN)/fraud_detection" run --until-end --workers $(WORKERS) --checkpoint-interval 1s \
	    --input "$(DEMO_DIR)/log/payments" --rules examples/rules.jsonl --alerts "$(DEMO_DIR)/log/alerts" --out "$(DEMO_DIR)/out" \
	    --state-dir "$(DEMO_DIR)/state" --checkpoint-dir "$(DEMO_DIR)/checkpoints"
	@echo
	@"$(BIN)/payments" score --payments $(PAYMENTS) \
	    --log "$(DEMO_DIR)/log" --labels "$(DEMO_DIR)/labels.jsonl" --out "$(DEMO_DIR)/out"
	@echo
	@echo "the first of them, by \`$(BIN)/pelton log get $(DEMO_DIR)/log/alerts --data-only\`:"
	@"$(BIN)/pelton" log get "$(DEMO_DIR)/log/alerts" --data-only --limit 3

test: setup ## all tests, with assertions and overflow checks on
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --no-fail-fast $(TESTING); \
	else cargo test --no-fail-fast $(TESTING) --all-targets; fi

aws-sdk-rust: setup ## the program by which tests of the Kinesis service try aws-sdk-rust; passed over without it
	cargo build --locked --manifest-path streams/kinesis/tests/rust/Cargo.toml --target-dir "$(TARGET)/aws-sdk-rust"

soak: build ## kill, stop and rescale the demo's job under load, ROUNDS times, and judge what it leaves
	@"$(BIN)/soak" --rounds $(ROUNDS) --directory "$(SOAK_DIR)"

bench: build ## the benchmarks: Pelton and the timely reference side by side
	@for workload in passthrough keyed-count tumbling-sum; do \
	    for engine in timely pelton; do \
	        "$(BIN)/pelton-bench" $$workload --engine $$engine || exit 1; \
	    done; \
	done

# Instrumentation is not stable yet; the variable has the stable compiler do it all the same.
fuzz: setup ## fuzz every decoder of bytes from outside, FUZZ_SECONDS each
	@cargo fuzz --version >/dev/null 2>&1 || \
	    { echo "cargo-fuzz is missing; install it with:  cargo install --locked cargo-fuzz" >&2; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
	    echo "== $$target, $(FUZZ_SECONDS) s"; \
	    mkdir -p "fuzz/corpus/$$target"; \
	    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer $(FUZZ_SANITIZER) "$$target" \
	        "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- -max_total_time=$(FUZZ_SECONDS) \
	        -rss_limit_mb=$(FUZZ_MEMORY_MIB) -print_final_stats=1 || exit 1; \
	done

ci: ## everything that has to hold before a change is in
	.ci/run
