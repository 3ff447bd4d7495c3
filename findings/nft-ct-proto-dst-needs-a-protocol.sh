#!/bin/sh
# nft 1.0.6 refuses `ct original proto-dst 22` with words about types, unless the rule names the transport protocol before.
#
# Seen: "Can't parse symbolic invalid expressions" for a number, and "datatype mismatch, expected invalid, expression has type
# internet network service" for a set of ports; with `meta l4proto tcp` in front, both load. Expected: that the port of a
# connection is a port, as in `ct original saddr` the address is one, or that the message names the missing protocol. The
# kernel itself takes the rule without it, and connection tracking knows the protocol.
#
# Needs Debian 12 and root, for a network namespace of its own; changes nothing outside of it and a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu" PATH="$folder/usr/sbin:$folder/sbin:$PATH"
try() { # RULE: what nft says of it
	printf 'table inet t {\n\tset ports { type inet_service; elements = { 22 } }\n\tchain c {\n\t\t%s\n\t}\n}\n' "$1" >rules
	unshare -n nft -c -f rules 2>&1 || true
}
expect() { # RULE WORDS: these, or none
	said=$(try "$1")
	echo "$1: ${said:-loads}" | head -n 1
	case $said in
	*"$2"*) [ -n "$2" ] || [ -z "$said" ] || exit 1 ;;
	*) echo 'the behaviour has changed' >&2; exit 1 ;;
	esac
}
expect 'ct original proto-dst 22 accept' "Can't parse symbolic invalid expressions"
expect 'ct original proto-dst @ports accept' 'datatype mismatch, expected invalid'
expect 'meta l4proto tcp ct original proto-dst 22 accept' ''
expect 'meta l4proto tcp ct original proto-dst @ports accept' ''
