#!/bin/sh
# nft 1.0.6 (and 0.9.8) prints a table's name in the place of its flags in `nft -j list ruleset`, so that a dormant table looks
# like one that is awake.
#
# Seen: the text has `flags dormant`, and the kernel passes what the chain would drop; the JSON of the table `t` has `"flags": "t"`,
# and `nft -j list tables` the name of the release. Loaded again with `nft -j -f`, it drops. Expected: `"flags": "dormant"`, as
# nft 1.1.3 has it.
#
# Needs Debian 12 and root, for a network namespace of its own; changes nothing outside of it and a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu" PATH="$folder/usr/sbin:$folder/sbin:$PATH"
unshare -n sh -eu -c '
	ip link set lo up
	nft "add table inet t { flags dormant; }; add chain inet t c { type filter hook input priority 0; policy drop; }"
	nft list ruleset >text
	nft -j list ruleset >json
	# A refusal is an answer; silence takes five seconds here.
	timeout 5 bash -c ": </dev/tcp/127.0.0.1/9" 2>/dev/null || [ $? -eq 124 ] || echo passes >asleep
	nft flush ruleset
	nft -j -f json
	timeout 5 bash -c ": </dev/tcp/127.0.0.1/9" 2>/dev/null || [ $? -ne 124 ] || echo drops >again'
echo "nft lists:            $(grep dormant text | sed 's/^[[:space:]]*//')"
echo "nft -j lists:         $(grep -o '"table": {[^}]*}' json | head -n 1)"
echo "the table:            $(cat asleep)"
echo "the same from JSON:   $(cat again)"
if ! grep -q 'flags dormant' text || ! grep -q '"flags": "t"' json || [ ! -e asleep ] || [ ! -e again ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
