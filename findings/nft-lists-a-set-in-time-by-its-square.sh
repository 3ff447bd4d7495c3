#!/bin/sh
# The kernel takes four times as long for each element of a set that is four times as large, when `nft list set` asks for them.
#
# Seen: of a set of IPv4 addresses without ranges, 100,000 elements are listed with some hundredths of a second of the kernel's time, and
# 400,000 with some ten to twenty times of that, not with four times. An answer comes in pieces of at most 32 KiB, and for each the kernel
# walks through the set from its beginning to where the last piece ended. Loading the same set grows by four. Expected: an answer that goes
# on where it stopped.
#
# Needs Debian 12 and root, for a network namespace of its own; changes nothing outside of it and a temporary folder. Half a minute.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu" PATH="$folder/usr/sbin:$folder/sbin:$PATH"
# A table with a set of $1 addresses.
table() {
	echo 'table ip t { set s { type ipv4_addr; elements = {'
	awk -v count="$1" 'BEGIN { for (at = 0; at < count; at++) printf "10.%d.%d.%d,\n", at / 65536, at / 256 % 256, at % 256 }'
	echo '}; }; }'
}
table 100000 >small
table 400000 >large
# Hundredths of a second in the kernel, for loading and for listing.
# shellcheck disable=SC2016 # for the shell in the namespace
unshare -n bash -eu -c '
	TIMEFORMAT=%S
	for size in small large; do
		{ time nft -f $size; } 2>$size.load
		{ time nft list set ip t s >$size.listed; } 2>$size.list
		nft delete table ip t
	done'
ratio() { awk -v small="$(cat "small.$1")" -v large="$(cat "large.$1")" 'BEGIN { printf "%.1f", large / (small > 0.01 ? small : 0.01) }'; }
listed() { tr -cd , <"$1.listed" | wc -c; }
echo "elements listed:              $(($(listed small) + 1)) and $(($(listed large) + 1))"
echo "the kernel's time to load:    $(cat small.load) s and $(cat large.load) s, $(ratio load) times as long"
echo "the kernel's time to list:    $(cat small.list) s and $(cat large.list) s, $(ratio list) times as long"
if awk -v ratio="$(ratio list)" 'BEGIN { exit !(ratio < 7) }'; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
