#!/usr/bin/env bash
# record.sh ROOTS: loads every golden ruleset with the real tools of each release and keeps what they list. ROOTS holds one
# folder a Debian release, as tests/worlds/root.sh makes them; the kernel is this machine's. Needs root; touches no network
# namespace but its own.
set -eu
cd "$(dirname "$0")"
roots=$(realpath "$1")
# Larger ones only repeat what smaller ones show.
LARGEST=20000

list() { # ROOT FOLDER NAME COMMAND: what the command prints, without the dates of iptables-save.
	# shellcheck disable=SC2016 # for the inner shell
	# iptables-legacy-save asks /proc which tables there are.
	unshare -n -m sh -c 'mount -t proc proc "$1/proc" && exec chroot "$1" sh -c "$2"' sh "$1" "$4" | sed '/^# \(Generated\|Completed\)/s/ on .*//' >"$2/$3"
	[ -s "$2/$3" ] || rm "$2/$3"
}

for root in "$roots"/*/; do
	[ -x "$root/usr/sbin/nft" ] || continue
	version=nft-$(chroot "$root" nft --version | sed 's/nftables v\([^ ]*\).*/\1/')-iptables-$(chroot "$root" iptables -V | sed 's/iptables v\([^ ]*\).*/\1/')
	rm -rf "$version"
	for case in ../cases/*/out; do
		name=$(basename "$(dirname "$case")")
		[ -f "$case/ringfence.nft" ] || continue
		[ "$(stat -c %s "$case/ringfence.nft")" -le "$LARGEST" ] || continue
		mkdir -p "$version/$name"
		rm -rf "$root/tmp/case" && cp -r "$case" "$root/tmp/case"
		list "$root" "$version/$name" nft.nft 'nft -f /tmp/case/ringfence.nft && nft list ruleset'
		[ -f "$case/ringfence.iptables" ] || continue
		for back in legacy nft; do
			sets='[ ! -f /tmp/case/ringfence.ipset ] || ipset restore </tmp/case/ringfence.ipset;'
			list "$root" "$version/$name" "iptables-$back.v4" "$sets iptables-$back-restore -w --noflush </tmp/case/ringfence.iptables && iptables-$back-save"
			list "$root" "$version/$name" "iptables-$back.v6" "$sets ip6tables-$back-restore -w --noflush </tmp/case/ringfence.ip6tables && ip6tables-$back-save"
		done
		list "$root" "$version/$name" ipset.save 'ipset restore </tmp/case/ringfence.ipset && ipset save'
	done
	rm -rf "$root/tmp/case"
	echo "$version: $(find "$version" -type f | wc -l) listings" >&2
done
