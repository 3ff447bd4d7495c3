#!/bin/sh
# iptables-nft-save 1.8.9 prints a native nf_tables rule without its set look-up, keeps the rest, and exits with 0.
#
# Seen: in a table that iptables-nft calls its own, a rule made by nft as
#     ip saddr @peers tcp dport 8098 accept
# is saved as
#     -A INPUT -p tcp -m tcp --dport 8098 -j ACCEPT
# which accepts everybody once it is restored. Nothing is said on standard error. Expected: a rule that cannot be said in
# iptables' words is refused or marked, as a whole table with a chain of another kind is ("incompatible").
#
# Needs Debian 12 and root, for a network namespace of its own; changes nothing outside of it and a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq iptables=1.8.9-2 libxtables12=1.8.9-2 nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 \
	libnftnl11=1.2.4-2 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu" PATH="$folder/usr/sbin:$folder/sbin:$PATH"
export XTABLES_LIBDIR="$folder/usr/lib/x86_64-linux-gnu/xtables"
# shellcheck disable=SC2016 # for the shell in the namespace
saved=$(unshare -n sh -c '
	iptables-nft -A INPUT -j ACCEPT && iptables-nft -F INPUT
	nft "add set ip filter peers { type ipv4_addr; elements = { 192.0.2.1 } }"
	nft add rule ip filter INPUT ip saddr @peers tcp dport 8098 accept
	nft list chain ip filter INPUT >&2
	iptables-nft-save -t filter' 2>listed)
echo "nft lists:              $(grep 8098 listed | sed 's/^[[:space:]]*//')"
echo "iptables-nft-save says: $(echo "$saved" | grep 8098)"
grep -q 'ip saddr @peers tcp dport 8098 accept' listed
[ "$(echo "$saved" | grep 8098)" = '-A INPUT -p tcp -m tcp --dport 8098 -j ACCEPT' ] || {
	echo 'the behaviour has changed' >&2
	exit 1
}
