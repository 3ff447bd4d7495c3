# An upgrade (1) drops nothing. RPM has no purge: what is left when the package is gone is said.
if [ "$1" = 0 ]; then
	# First whatever might bring the rules back.
	if command -v systemctl >/dev/null; then
		systemctl --quiet disable ringfence-drift.timer ringfence-watch.service ringfence.service || :
		[ ! -d /run/systemd/system ] || systemctl stop ringfence-drift.timer ringfence-drift.service ringfence-watch.service ringfence.service || :
		[ ! -d /run/systemd/system ] || systemctl --quiet reset-failed ringfence-attention.service 2>/dev/null || :
	fi
	rm -f /var/lib/ringfence/watch-enabled
	ringfence hook pre-remove || echo "ringfence: the rules may be as they were" >&2
fi
