#!/bin/sh
# firewalld 1.3.3 sets the mode of whatever --log-file names to 0640, a device as well: /dev/null then is root's alone.
#
# Seen: `firewalld --log-file=/dev/null`, a usual way to say "no log", leaves the null device as crw-r-----, and every program of
# opens the file and calls fchmod on it without asking what it is. Expected: a mode is given to a file that is made, or to a
# regular file.
#
# Shown with a null device of its own in a temporary folder. Needs Debian 12, python3 and root, for mknod.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq python3-firewall=1.3.3-1~deb12u2 >/dev/null 2>&1
dpkg -x ./*.deb .
mknod -m 666 null c 1 3
before=$(stat -c %A null)
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$folder/usr/lib/python3/dist-packages python3 -c '
from firewall.core.logger import FileLog
log = FileLog("null", "a")
log.open()
log.close()'
after=$(stat -c %A null)
echo "before: $before"
echo "after:  $after"
[ "$before $after" = 'crw-rw-rw- crw-r-----' ] || {
	echo 'the behaviour has changed' >&2
	exit 1
}
