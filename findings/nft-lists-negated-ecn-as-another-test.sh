#!/bin/sh
# nft 1.0.6 lists the match `-m ecn ! --ecn-tcp-ece` of an iptables rule as `tcp flags != ecn`, which is another test.
#
# Seen: the kernel holds iptables' own match, which asks that the flag ECE is not set. The words of the listing compile to a
# comparison of all flags with ECE alone, so that a segment with ACK and ECE passes them, too; the match without `!` is listed
# as `tcp flags ecn`, which nft makes a test of the one bit. Expected: `tcp flags & ecn == 0`, or the words that nft has for
# what it cannot say (`xt match "ecn"`).
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
unshare -n sh -eu -c '
	iptables-nft -A INPUT -p tcp -m ecn ! --ecn-tcp-ece -j DROP
	nft list chain ip filter INPUT >listing 2>/dev/null
	nft --debug=netlink list chain ip filter INPUT >held 2>/dev/null
	nft "add table ip t; add chain ip t c; add rule ip t c tcp flags != ecn drop"
	nft --debug=netlink list chain ip t c >native'
echo "nft lists:        $(grep 'tcp flags' listing | sed 's/^[[:space:]]*//')"
echo "the kernel holds: $(grep 'match name' held)"
echo "the words mean:   $(grep 'cmp neq' native)"
grep -q 'tcp flags != ecn ' listing || changed=yes
grep -q 'match name ecn' held || changed=yes
# The whole byte of flags; a test of one bit has a mask before it.
grep -q 'cmp neq reg 1 0x00000040' native || changed=yes
if grep -q bitwise native || [ -n "${changed:-}" ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
