#!/usr/bin/env bash
# record.sh ROOTS: loads some rulesets with the nft of each release and keeps what it lists, as text and as JSON. ROOTS holds one
# folder a Debian release, as tests/worlds/root.sh makes them; the kernel is this machine's. Needs root; touches no network
# namespace but its own.
set -eu
cd "$(dirname "$0")"
roots=$(realpath "$1")
for root in "$roots"/{bullseye,bookworm,trixie,sid}; do
	[ -x "$root/usr/sbin/nft" ] || continue
	version=nft-$(chroot "$root" nft --version | sed 's/nftables v\([^ ]*\).*/\1/')
	rm -rf "$version" && mkdir "$version"
	for file in ../cases/{dual-stack,reject}/out/ringfence.nft ../readers/exact.nft ../hosts/*-{hardened,node-maps,node-output}/nft ./*.nft; do
		case $file in
		*/cases/*) name=$(basename "$(dirname "$(dirname "$file")")") ;;
		*/hosts/*) name=$(basename "$(dirname "$file")") ;;
		*) name=$(basename "$file" .nft) ;;
		esac
		# shellcheck disable=SC2016 # for the inner shell
		unshare -n -m sh -eu -c '
			mount --make-rprivate /
			mount --bind "$2" "$1/mnt"
			ip link set lo up
			chroot "$1" nft -f "/mnt/$3" 2>/dev/null || exit 0
			chroot "$1" nft list ruleset >"$4.nft"
			chroot "$1" nft -j list ruleset >"$4.json"' sh "$root" "$(realpath "$(dirname "$file")")" "$(basename "$file")" "$version/$name"
	done
	echo "$version: $(find "$version" -type f | wc -l) files" >&2
done
