#!/bin/sh
# Installs what building and testing need, quietly, and only what is missing. Knows Debian and Ubuntu, Fedora and RHEL.
# setup.sh demo: only what building and the demo need. setup.sh [build|packages]: also what makes the packages; and what their
# tests need.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing=
# need PROBE DEBIAN-PACKAGE FEDORA-PACKAGE
need() {
	if ! sh -c "$1" >/dev/null 2>&1; then
		missing="$missing $2:$3"
	fi
}
need 'command -v cc' gcc gcc
need 'command -v pkg-config' pkg-config pkgconf-pkg-config
need 'pkg-config --exists libmnl' libmnl-dev libmnl-devel
need 'pkg-config --exists libnftnl' libnftnl-dev libnftnl-devel
need 'command -v nft' nftables nftables
need 'command -v unshare' util-linux util-linux

if [ "${1:-}" != demo ]; then
	need 'command -v iptables-legacy' iptables iptables-legacy
	need 'command -v iptables-nft' iptables iptables-nft
	need 'command -v ipset' ipset ipset
	need 'command -v ip' iproute2 iproute
	need 'command -v strace' strace strace
	need 'command -v perl' perl-base perl-interpreter
	need 'command -v shellcheck' shellcheck ShellCheck
	need 'command -v erl' erlang-base erlang-erts
	need 'command -v firewall-cmd' firewalld firewalld
	need 'command -v ufw' ufw ufw
	need 'command -v fail2ban-server' fail2ban fail2ban-server
	need 'command -v dbus-daemon' dbus dbus-daemon
	need 'test -x /usr/sbin/sshd' openssh-server openssh-server
	need 'command -v ansible-playbook' ansible-core ansible-core
	need '! command -v apt-get || /usr/bin/python3 -c "import apt"' python3-apt python3-dnf
	need '! command -v firewall-cmd || /usr/bin/python3 -c "import nftables"' python3-nftables python3-nftables
fi
if [ "${1:-}" = build ] || [ "${1:-}" = packages ]; then
	need 'command -v dpkg-deb' dpkg dpkg
	need 'command -v dpkg-shlibdeps' dpkg-dev dpkg-dev
	need 'command -v rpmbuild' rpm rpm-build
	need 'command -v strip' binutils binutils
	need 'command -v ansible-galaxy' ansible-core ansible-core
fi
if [ "${1:-}" = packages ]; then
	need 'command -v rpm' rpm rpm
	need 'command -v debootstrap' debootstrap debootstrap
	need 'command -v lintian' lintian lintian
	need 'command -v rpmlint' rpmlint rpmlint
	need 'command -v systemd-analyze' systemd systemd
	need 'command -v man' man-db man-db
fi

if [ -n "$missing" ]; then
	if command -v apt-get >/dev/null; then
		packages=$(for pair in $missing; do echo "${pair%%:*}"; done | sort -u)
		install='apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq'
	elif command -v dnf >/dev/null; then
		packages=$(for pair in $missing; do echo "${pair##*:}"; done | sort -u)
		install='dnf install -y -q'
	else
		echo "install these by hand (names of Debian's packages):" >&2
		for pair in $missing; do echo "  ${pair%%:*}" >&2; done
		exit 1
	fi
	# shellcheck disable=SC2086 # a list of words
	set -- $packages
	packages=$*
	echo "installing: $*" >&2
	if [ "$(id -u)" = 0 ]; then root=; else root=sudo; fi
	# The tests run firewalld, fail2ban and sshd in namespaces of their own; on this machine they are neither to start now nor later. (ufw
	# does nothing until somebody enables it.)
	masked=
	policy=
	no_sshd=
	case " $packages " in
	*[[:space:]]openssh-server[[:space:]]*)
		# This is how Debian's packages are told (policy-rc.d).
		if command -v apt-get >/dev/null && [ ! -e /usr/sbin/policy-rc.d ]; then
			policy=/usr/sbin/policy-rc.d
			printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
			$root chmod 755 $policy
		fi
		no_sshd=yes
		;;
	esac
	for service in firewalld fail2ban; do
		unit=/etc/systemd/system/$service.service
		case " $packages " in
		*[[:space:]]"$service"[[:space:]]*)
			if [ -d /etc/systemd/system ] && [ ! -e "$unit" ] && [ ! -L "$unit" ]; then
				masked="$masked $service"
				$root ln -s /dev/null "$unit"
			fi
			;;
		esac
	done
	unmask() {
		for service in $masked; do
			$root rm -f "/etc/systemd/system/$service.service"
			if command -v systemctl >/dev/null; then $root systemctl disable -q "$service" 2>/dev/null || true; fi
		done
		masked=
		if [ -n "$policy" ]; then
			$root rm -f "$policy"
			policy=
		fi
		if [ -n "$no_sshd" ]; then
			if command -v systemctl >/dev/null; then $root systemctl disable -q ssh sshd 2>/dev/null || true; fi
			no_sshd=
		fi
	}
	trap unmask EXIT
	log=$(mktemp)
	if ! $root sh -c "$install $*" >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		exit 1
	fi
	rm -f "$log"
	unmask
fi

if ! command -v "${CARGO:-cargo}" >/dev/null; then
	echo "Rust is missing: install it from https://rustup.rs (1.89 or newer)" >&2
	exit 1
fi
