#!/bin/sh
# nft 1.0.6 counts `index N` over rules that were flushed by an earlier line of the same file.
#
# Seen: a chain has two rules; a file flushes it, adds `drop` and then adds `accept` behind index 0. The file is taken, and
# `accept` stands before `drop`. The same commands in two files, the flush in the first, make `drop` and then `accept`.
# Expected: commands of a file have their effect one after the other, so that index 0 is the rule that was added last.
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
	printf "flush chain ip t c\nadd rule ip t c drop\n" >first
	printf "add rule ip t c index 0 accept\n" >second
	cat first second >both
	begin() { nft "add table ip t; add chain ip t c; add rule ip t c counter; add rule ip t c counter"; }
	begin
	nft -f both
	nft list chain ip t c >one
	nft delete table ip t
	begin
	nft -f first
	nft -f second
	nft list chain ip t c >two'
order() { grep -o 'drop\|accept' "$1" | tr '\n' ' '; }
echo "in one file: $(order one)"
echo "in two:      $(order two)"
[ "$(order one), $(order two)" = 'accept drop , drop accept ' ] || changed=yes
if [ -n "${changed:-}" ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
