# make demo    a fresh machine to a ruleset in a real kernel
# make test    everything that a change must pass
# make bench   speed and memory, as ratios within one run
# make fuzz    half a minute of random input for everything that reads a text

CARGO ?= cargo
.PHONY: demo test bench fuzz setup deny

setup:
	@sh packaging/setup.sh

demo: setup
	@$(CARGO) build --release --quiet
	@sh packaging/demo.sh "$${CARGO_TARGET_DIR:-target}/release/ringfence" rulesets/examples/mail-east.toml

# The tests of the kernel need rights over a network namespace: as root they make their own, otherwise within a user
# namespace, where not every back end works.
IN_THE_KERNEL = $(CARGO) test --test live --test faults --test netlink --test host_iptables --test readers \
	--test readers_iptables --test kernel --test lint --test import
test: setup
	$(CARGO) fmt --check
	$(CARGO) clippy --quiet --all-targets -- --deny warnings
	$(CARGO) clippy --quiet --all-targets --no-default-features -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --quiet --no-deps
	shellcheck packaging/*.sh .ci/run
	$(CARGO) test --quiet --lib --bins --test golden --test rooms --test semantics --test verify --test transcripts \
		--test erlang --test import_property
	if [ "$$(id -u)" = 0 ]; then $(IN_THE_KERNEL); else unshare --map-root-user $(IN_THE_KERNEL); fi

bench: setup
	$(CARGO) bench --bench compile
	$(CARGO) bench --bench proof
	$(CARGO) bench --bench apply
	$(CARGO) bench --bench packet_path
	$(CARGO) bench --bench netlink

# A stable compiler serves: what is asked for is coverage and no sanitizer, since there is no unsafe code. What a run
# learns stays in fuzz/corpus; what it finds, in fuzz/artifacts.
FUZZ_TARGETS = nft_read iptables_read ipset_read cluster_parse netlink_table \
	erlang_parse riak_conf_parse vm_args_parse membership_parse
FUZZ_SECONDS = 30
fuzz:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { echo 'make fuzz needs cargo-fuzz: cargo install cargo-fuzz' >&2; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 || exit 1; \
	done

# Licences, duplicates and origins of the dependencies; needs cargo-deny.
deny:
	$(CARGO) deny check bans licenses sources
