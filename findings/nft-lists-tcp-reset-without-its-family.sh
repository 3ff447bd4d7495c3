#!/bin/sh
# nft 1.0.6 lists `meta nfproto ipv4 tcp dport 22 reject with tcp reset` of a table of the family inet without `meta nfproto ipv4`.
#
# Seen: the kernel holds the test of the family; the listing has no word of it, and reloading the listing makes a rule that
# resets IPv6 as well. With a counter in front of `reject` the test stays in the listing. Expected: a test is only left out
# where another one implies it; a reset works with both families.
#
# Needs Debian 12 and root, for a network namespace of its own; changes nothing outside of it and a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu" PATH="$folder/usr/sbin:$folder/sbin:$PATH"
# shellcheck disable=SC2016 # for the shell in the namespace
unshare -n sh -eu -c '
	nft "add table inet t; add chain inet t c"
	nft add rule inet t c meta nfproto ipv4 tcp dport 22 reject with tcp reset
	nft add rule inet t c meta nfproto ipv4 tcp dport 23 counter reject with tcp reset
	nft list table inet t >listing
	nft --debug=netlink list table inet t >held
	nft delete table inet t
	nft -f listing
	nft --debug=netlink list table inet t >reloaded'
families() { grep -c 'meta load nfproto' "$1" || true; }
echo "listed: $(grep 'dport 22' listing | sed 's/^[[:space:]]*//')"
echo "listed: $(grep 'dport 23' listing | sed 's/^[[:space:]]*//')"
echo "tests of the family held before: $(families held); after a reload: $(families reloaded)"
grep -q '^[[:space:]]*tcp dport 22 reject with tcp reset$' listing || changed=yes
grep -q '^[[:space:]]*meta nfproto ipv4 tcp dport 23 counter packets 0 bytes 0 reject with tcp reset$' listing || changed=yes
[ "$(families held) $(families reloaded)" = '2 1' ] || changed=yes
if [ -n "${changed:-}" ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
