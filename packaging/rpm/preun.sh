# An upgrade (1) drops nothing. RPM has no purge: what is left when the package is gone is said.
if [ "$1" = 0 ]; then
	ringfence hook pre-remove || echo "ringfence: the rules are as they were" >&2
	if command -v systemctl >/dev/null; then
		systemctl --quiet disable ringfence-drift.timer ringfence.service || :
		[ ! -d /run/systemd/system ] || systemctl stop ringfence-drift.timer ringfence.service || :
	fi
fi
