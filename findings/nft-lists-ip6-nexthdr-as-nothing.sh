#!/bin/sh
# nft 1.0.6 lists `ip6 nexthdr tcp tcp dport 22` in a table of the family ip6 as `tcp dport 22`, which is another rule.
#
# Seen: the kernel holds a test of the byte at 6 of the IPv6 header, which TCP behind an extension header does not pass; the
# listing has no word of it, and reloading the listing makes a test of the transport protocol, which it does pass. In a table
# of the family inet both words stay. Expected: a test is only left out where the next one implies it. The next header of
# IPv6 is not the transport protocol.
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
	for family in ip6 inet; do
		nft "add table $family t; add chain $family t c; add rule $family t c ip6 nexthdr tcp tcp dport 22 drop"
		nft list table "$family" t >"$family.listing"
		nft --debug=netlink list table "$family" t >"$family.held"
	done
	nft delete table ip6 t
	nft -f ip6.listing
	nft --debug=netlink list table ip6 t >reloaded'
rule() { grep dport "$1" | sed 's/^[[:space:]]*//'; }
tested() { grep 'load 1b\|l4proto' "$1" | sed 's/^[[:space:]]*//'; }
echo "in a table of inet: $(rule inet.listing)"
echo "in a table of ip6:  $(rule ip6.listing)"
echo "held before:        $(tested ip6.held)"
echo "held after a reload: $(tested reloaded)"
[ "$(rule inet.listing)" = 'ip6 nexthdr tcp tcp dport 22 drop' ] || changed=yes
[ "$(rule ip6.listing)" = 'tcp dport 22 drop' ] || changed=yes
grep -q 'payload load 1b @ network header + 6' ip6.held || changed=yes
grep -q 'meta load l4proto' reloaded || changed=yes
if [ -n "${changed:-}" ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
