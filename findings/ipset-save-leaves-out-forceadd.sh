#!/bin/sh
# `ipset save` (and `ipset list`) 7.17 leaves out `forceadd`, so that a set that is saved and restored is another one: it takes
# nothing more once it is full, where the first one makes room by letting an element go.
#
# Seen: `create a hash:ip ... maxelem 256` without `forceadd` for a set that was created with it, and that went on taking elements
# beyond 256; restored from that text it refuses each of them ("Hash is full"). Expected: the option in the text, as those for
# counters and comments are. ipset 7.10 and 7.24 print the same.
#
# Needs Debian 12, root for a network namespace of its own, and a kernel with ip_set; changes nothing outside of it and a temporary
# folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq ipset=7.17-1 libipset13=7.17-1 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu" PATH="$folder/usr/sbin:$folder/sbin:$PATH"
# shellcheck disable=SC2016
unshare -n sh -eu -c '
	more() { taken=0; for last in $(seq 0 99); do ! ipset add a "10.1.0.$last" 2>/dev/null || taken=$((taken + 1)); done; echo "$taken"; }
	ipset create a hash:ip hashsize 64 maxelem 256 forceadd
	seq 0 255 | sed "s/^/add a 10.0.0./" | ipset restore
	ipset save >saved
	more >before
	ipset destroy
	ipset restore <saved
	more >after'
echo "saved:                        $(head -n 1 saved)"
echo "taken when full, of 100:      $(cat before)"
echo "the same once it is restored: $(cat after)"
if grep -q forceadd saved || [ "$(cat before)" -lt 50 ] || [ "$(cat after)" -ne 0 ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
