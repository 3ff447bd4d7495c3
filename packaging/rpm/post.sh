# What becomes of the rules is `ringfence hook`'s to decide. Whatever it says, the package is installed.
for folder in /etc/ringfence /var/lib/ringfence; do
	[ -d "$folder" ] || install -d -m 0750 "$folder"
done
# The program is back; what an earlier removal kept of it serves nobody.
rm -f /var/lib/ringfence/purge
# A unit of another firewall that is enabled or runs here, if there is one.
another_firewall() {
	for unit in firewalld ufw nftables netfilter-persistent iptables ip6tables; do
		if systemctl --quiet is-enabled "$unit.service" 2>/dev/null || systemctl --quiet is-active "$unit.service" 2>/dev/null; then
			echo "$unit.service"
			return 0
		fi
	done
	return 1
}
watch=ringfence-watch.service
# There once the unit was enabled for this reason: whoever disables it later wants it so.
mark=/var/lib/ringfence/watch-enabled
if command -v systemctl >/dev/null; then
	# An administrator who disabled the unit later wants it so.
	[ "$1" != 1 ] || systemctl --quiet enable ringfence.service || :
	[ ! -d /run/systemd/system ] || systemctl daemon-reload || :
	before=$(systemctl is-enabled "$watch" 2>/dev/null) || :
	case $before in
	enabled | masked*) ;;
	*)
		if [ ! -e "$mark" ] && other=$(another_firewall) && systemctl --quiet enable "$watch"; then
			: >"$mark"
			echo "ringfence: $other may flush every rule, ours too: $watch is enabled, which brings them back at once (\`systemctl disable --now $watch\` ends that)"
		fi
		;;
	esac
fi
code=0
ringfence hook post-install || code=$?
case $code in
# In force, perhaps beside rules of others that are not understood; or nothing to do.
0 | 3) [ ! -d /run/systemd/system ] || systemctl start ringfence.service || : ;;
*) echo "ringfence: the package is installed; what keeps the rules from being as its file says is said above (exit code $code)" >&2 ;;
esac
# After an upgrade it is the old program that runs.
if [ -d /run/systemd/system ] && systemctl --quiet is-enabled "$watch" 2>/dev/null; then
	systemctl restart "$watch" || :
fi
