# What becomes of the rules is `ringfence hook`'s to decide. Whatever it says, the package is installed.
for folder in /etc/ringfence /var/lib/ringfence; do
	[ -d "$folder" ] || install -d -m 0750 "$folder"
done
# The program is back; what an earlier removal kept of it serves nobody.
rm -f /var/lib/ringfence/purge
if command -v systemctl >/dev/null; then
	# An administrator who disabled the unit later wants it so.
	[ "$1" != 1 ] || systemctl --quiet enable ringfence.service || :
	[ ! -d /run/systemd/system ] || systemctl daemon-reload || :
fi
code=0
ringfence hook post-install || code=$?
case $code in
# In force, perhaps beside rules of others that are not understood; or nothing to do.
0 | 3) [ ! -d /run/systemd/system ] || systemctl start ringfence.service || : ;;
*) echo "ringfence: the package is installed; what keeps the rules from being as its file says is said above (exit code $code)" >&2 ;;
esac
