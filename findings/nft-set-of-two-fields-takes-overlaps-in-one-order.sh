#!/bin/sh
# Linux 6.18 with nft 1.0.6: a set over two fields with ranges takes an element that lies around an earlier one, and refuses
# the same two in the other order.
#
# Seen: of a set of networks alone, nft refuses both orders. Of a set of a network and a port, 10.0.0.0/8 . 80 and then
# 0.0.0.0/0 . 80 are taken and both are listed; 0.0.0.0/0 . 80 and then 10.0.0.0/8 . 80 end with "File exists". Expected: one answer, in
# whatever order elements come. In a map the two say different things of one packet.
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
	try() {
		nft add set ip t s "{ type $1; flags interval; }"
		nft add element ip t s "{ $2 }"
		if nft add element ip t s "{ $3 }" 2>/dev/null; then echo taken; else echo refused; fi
		nft delete set ip t s
	}
	nft add table ip t
	try ipv4_addr 10.0.0.0/8 0.0.0.0/0
	try ipv4_addr 0.0.0.0/0 10.0.0.0/8
	try "ipv4_addr . inet_service" "10.0.0.0/8 . 80" "0.0.0.0/0 . 80"
	try "ipv4_addr . inet_service" "0.0.0.0/0 . 80" "10.0.0.0/8 . 80"' >seen
found=$(tr '\n' ' ' <seen)
echo "networks, the inner one first and last; networks and ports, the inner one first and last: $found"
if [ "$found" != 'refused refused taken refused ' ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
