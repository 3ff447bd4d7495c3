# make demo    a fresh machine to a ruleset in a real kernel
# make test    everything that a change must pass
# make bench   speed and memory, as ratios within one run
# make fuzz    half a minute of random input for everything that reads a text
# make packages  the .deb, the .rpm and the Ansible collection, in target/packages
# make fleet   real Ansible against five nodes, with packets counted; root; ten minutes. FLEET=50: so many nodes, two roll-outs
# make lab     real Erlang nodes on hosts with both back ends, and everybody knocking at every door; RabbitMQ, ejabberd; root; a quarter of an hour
# make soak    10,000 changes of rules under such nodes with each back end, in any order, with kills, flushes and starts; root; SOAK=N: so many
# make matrix  real kernels and tools of four Debian releases, into docs/worlds.md; root; an hour, or a quarter: MATRIX=short
# make constructs  every construct of nft and iptables against real packets; root; five minutes
# make report-check  reports in a real Chromium: light, dark and paper, and axe-core finds nothing serious; screenshots in target/report-check
# make static    one binary without any library: everything but writing by netlink, see README

CARGO ?= cargo
.PHONY: report-check demo test bench fuzz setup deny matrix constructs static packages packages-for-tests fleet fleet-short lab lab-short soak

setup:
	@sh packaging/setup.sh

demo:
	@CARGO=$(CARGO) sh packaging/setup.sh demo
	@$(CARGO) build --profile demo --quiet
	@sh packaging/demo.sh "$${CARGO_TARGET_DIR:-target}/demo/ringfence" rulesets/examples/mail-east.toml

ON_TEXT = $(CARGO) test --quiet --lib --bins --test golden --test rooms --test semantics --test proofs --test large --test compile_all --test verify --test outcomes --test transcripts \
	--test cells --test report --test review --test listings --test doubts --test erlang --test import_property --test cluster_schema --test asker
# The tests of the kernel need rights over a network namespace: as root they make their own, otherwise within a user
# namespace, where not every back end works.
IN_THE_KERNEL = $(CARGO) test --test live --test documents --test agreed --test clusters --test plan --test faults --test netlink --test host_iptables --test through --test readers \
	--test readers_iptables --test nft_json --test kernel --test hosts --test rehearse --test whole --test lint --test import --test pages
test: setup
	$(CARGO) fmt --check
	$(CARGO) clippy --quiet --all-targets -- --deny warnings
	$(CARGO) clippy --quiet --all-targets --no-default-features -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --quiet --no-deps
	shellcheck packaging/*.sh packaging/hooks/*.sh packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm packaging/debian/build.sh .ci/run tests/listings/record.sh tests/hosts/record.sh tests/json/record.sh tests/worlds/*.sh tests/fleet/*.sh tests/mesh/*.sh tests/browser/*.sh findings/*.sh
	shellcheck --shell=sh packaging/rpm/*.sh
	@if [ "$$(id -u)" = 0 ]; then $(ON_TEXT); else RINGFENCE_SKIP_KERNEL=1 $(ON_TEXT) && echo 'NOT TESTED: what of --lib takes root (a namespace in one thread)' >&2; fi
	if [ "$$(id -u)" = 0 ]; then $(IN_THE_KERNEL); else unshare --map-root-user $(IN_THE_KERNEL); fi
	@# One after the other: each is a whole machine, some with a systemd, and each is to have the time that it waits for.
	@if [ "$$(id -u)" = 0 ]; then $(MAKE) --no-print-directory packages-for-tests && $(CARGO) test --test packages -- --test-threads=1 && $(MAKE) --no-print-directory fleet-short lab-short; \
	else echo 'NOT TESTED: packages, the fleet and the lab, which take root (dpkg and rpm work in roots of their own)' >&2; fi

bench: setup
	$(CARGO) bench --bench compile
	$(CARGO) bench --bench proof
	$(CARGO) bench --bench rulesets
	$(CARGO) bench --bench hosts
	$(CARGO) bench --bench apply
	$(CARGO) bench --bench packet_path
	$(CARGO) bench --bench netlink
	$(CARGO) bench --bench rehearse

# Makes roots of Debian in target/worlds (7 GB; WORLDS=DIR elsewhere), installs qemu and debootstrap where they are missing.
matrix:
	@tests/worlds/matrix.sh

report-check: setup
	$(CARGO) build --quiet --target-dir $(TARGET)
	tests/browser/check.sh $(TARGET)/report-check $(CURDIR)/$(TARGET)/debug/ringfence

# Three times after another: each of them waits for the kernel most of the time, on several hosts at once.
constructs: setup
	$(CARGO) test --test constructs -- --ignored --nocapture --test-threads=1

# A static glibc serves: names are never looked up. With --target, what runs while building is not linked in this way.
TARGET = target
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
STATIC = RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --quiet --no-default-features --target $(HOST) --target-dir $(TARGET)
static: setup
	$(STATIC) --release
	@packaging/is-static.sh $(TARGET)/$(HOST)/release/ringfence

# The .rpm holds the static binary, which RHEL 8 and later can run, unless it is built where it is to be installed.
RPM_STATIC = $(if $(wildcard /etc/redhat-release),,yes)
packages: setup $(if $(RPM_STATIC),static)
	@CARGO=$(CARGO) sh packaging/setup.sh build
	$(CARGO) build --quiet --release --target-dir $(TARGET)
	packaging/build.sh $(TARGET) release target/packages $(if $(RPM_STATIC),$(HOST))

# The same of what the tests have built anyway.
packages-for-tests:
	@CARGO=$(CARGO) sh packaging/setup.sh packages
	$(CARGO) build --quiet --target-dir $(TARGET)
	CARGO_PROFILE_DEV_OPT_LEVEL=0 $(STATIC)
	@packaging/is-static.sh $(TARGET)/$(HOST)/debug/ringfence
	@packaging/chroot.sh target/chroot/bookworm
	packaging/build.sh $(TARGET) dev target/packages-for-tests $(HOST)

# ANSIBLE=DIR: the tools of that folder instead of the system's.
FLEET = full
ANSIBLE = /usr/bin
RUN_FLEET = python3 tests/fleet/run.py
fleet: packages
	$(RUN_FLEET) $(FLEET) --package target/packages/ringfence_*.deb --collection target/packages/ringfence-cluster-*.tar.gz --ansible $(ANSIBLE)

# Of the packages that are there.
fleet-short:
	$(RUN_FLEET) short --package target/packages-for-tests/ringfence_*.deb --collection target/packages-for-tests/ringfence-cluster-*.tar.gz

# What the tests have built. RINGFENCE=FILE: another one.
RUN_LAB = python3 tests/mesh/run.py
lab: setup
	$(CARGO) build --quiet --target-dir $(TARGET)
	@sh tests/mesh/services.sh
	$(RUN_LAB) full

lab-short:
	$(RUN_LAB) short

SOAK = 10000
soak: setup
	$(CARGO) build --quiet --target-dir $(TARGET)
	$(RUN_LAB) soak --changes $(SOAK)

# A stable compiler serves: what is asked for is coverage and no sanitizer, since what is unsafe is in calls of the kernel and of libnftnl, which are not fuzzed. What a run
# learns stays in fuzz/corpus; what it finds, in fuzz/artifacts.
FUZZ_TARGETS = nft_read nft_json sets iptables_read ipset_read cluster_parse netlink_table \
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
