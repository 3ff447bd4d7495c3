#!/bin/sh
# A node: everything of this machine that is no memory file system, and nothing that is written comes back to it.
# node.sh FOLDER ADDRESS, in namespaces of its own. Its first process takes in whatever is left of others, and ends with them all.
set -eu
folder=$1 address=$2
mount --make-rprivate /
mkdir -p "$folder/up" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/up,workdir=$folder/work" "$folder/root"
shared=$folder/../shared
cd "$folder/root"
mkdir -p srv/fleet
mount --bind "$shared" srv/fleet
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs run run
mount -t tmpfs tmp tmp
# What this machine has of ringfence is not the node's.
for there in etc/ringfence var/lib/ringfence usr/bin/ringfence etc/sysctl.d/60-ringfence.conf; do
	rm -rf "./$there"
done
pivot_root . mnt
cd /
umount -l /mnt
hostname "node-${address##*.}"
mkdir -p /run/sshd
chmod 1777 /tmp
usermod -p '*' root
install -m 755 /srv/fleet/riak-admin /usr/local/bin/riak-admin
exec /usr/bin/python3 /srv/fleet/first.py "$address"
