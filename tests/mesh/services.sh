#!/bin/sh
# Debian's RabbitMQ and ejabberd, where they are missing. Neither is to start on this machine, now or later.
set -eu
if ! command -v apt-get >/dev/null; then
	echo 'NOT TESTED: RabbitMQ and ejabberd, which the lab knows as Debian has them' >&2
	exit 0
fi
missing=
for service in rabbitmq-server ejabberd; do
	dpkg-query -W -f '${Status}' "$service" 2>/dev/null | grep -q 'ok installed' || missing="$missing $service"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing" >&2
policy=
if [ ! -e /usr/sbin/policy-rc.d ]; then
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
log=$(mktemp)
# shellcheck disable=SC2086 # a list of words
if ! (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing) >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
rm -f "$log"
if command -v systemctl >/dev/null; then
	# shellcheck disable=SC2086
	systemctl disable -q $missing 2>/dev/null || true
fi
