#!/bin/sh
# A host: the files of this machine, and what is written to /etc, /var, /run and /tmp stays its own and is forgotten with it.
# host.sh FOLDER NAME, in namespaces of its own.
set -eu
folder=$1 name=$2
mount --make-rprivate /
mount -t proc proc /proc
for part in etc var; do
	mkdir -p "$folder/$part.up" "$folder/$part.work"
	mount -t overlay overlay -o "lowerdir=/$part,upperdir=$folder/$part.up,workdir=$folder/$part.work" "/$part"
done
# What this machine has of ringfence is not the host's.
rm -rf /etc/ringfence /var/lib/ringfence /etc/sysctl.d/60-ringfence.conf
first=$(cat "$(dirname "$0")/first.py")
mount --bind "$folder/../shared" /mnt
mount -t sysfs sysfs /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
chmod 1777 /tmp
mkdir -p /etc/ringfence
hostname "$name"
exec /usr/bin/python3 -c "$first"
