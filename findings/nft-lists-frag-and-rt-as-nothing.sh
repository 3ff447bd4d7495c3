#!/bin/sh
# nft 1.0.6 lists a rule of ip6tables-nft with `-m frag` or `-m rt` and no options of these as if the test were not there.
#
# Seen: `ip6tables-nft -A INPUT -m frag -j ACCEPT`, which accepts what has a fragment header, is listed as
#      counter packets 0 bytes 0 accept
# with one blank too many in front and nothing else. Loaded again, the line is a rule for every packet. Of matches that nft cannot
# translate, `-m eui64` for one, something remains to be seen in the listing. nft exits with 0 and says nothing.
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
for match in frag rt eui64; do
	listed=$(unshare -n sh -c "ip6tables-nft -A INPUT -m $match -j ACCEPT && nft list chain ip6 filter INPUT" | grep accept | tail -n 1)
	echo "-m $match: |$(printf %s "$listed" | tr -d '\t')|"
	case $match in
	eui64) printf %s "$listed" | grep -q eui64 || { echo 'the behaviour has changed' >&2; exit 1; } ;;
	*) [ "$(printf %s "$listed" | tr -d '\t')" = ' counter packets 0 bytes 0 accept' ] || { echo 'the behaviour has changed' >&2; exit 1; } ;;
	esac
done
