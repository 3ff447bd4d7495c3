#!/bin/sh
# Makes the root in which the tests install packages, once: Debian's own packages and nothing of this project.
# chroot.sh FOLDER
set -eu
PATH=$PATH:/usr/sbin:/sbin
folder=$1
[ ! -e "$folder" ] || exit 0
echo "making $folder, once" >&2
mkdir -p "$(dirname "$folder")"
new=$(mktemp -d "$folder.XXXXXX")
log=$new.log
if ! debootstrap --variant=minbase --include=nftables,iptables,ipset,rpm,systemd,libnftnl11,libmnl0 bookworm "$new" >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	rm -rf "$new"
	exit 1
fi
rm -f "$log" "$new"/var/cache/apt/archives/*.deb
chmod 755 "$new"
mv -T "$new" "$folder"
