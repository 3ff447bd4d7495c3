#!/usr/bin/env bash
# root.sh SUITE DIR [WITH]: a Debian root with that release's tools and its own kernel, for vm.sh. A minute or two; at once when
# it is there already. A root that was begun elsewhere (debootstrap and the rest of the packages) is brought up to date. WITH is another
# one, with other firewalls on it, none of which is enabled.
set -eu
suite=$1 dir=$2 with=${3:-}
# What the rows use: iptables in both variants, real clients and servers in python, strace for the kills, systemd for the
# packages, that release's Erlang for the lab.
packages=nftables,iptables,ipset,iproute2,kmod,procps,python3,libmnl0,libnftnl11,strace,systemd,systemd-sysv,erlang-base
others=firewalld,ufw
# The newest has programs of Erlang's for the lab, too: those of this machine's own release are tried by `make lab`.
services=rabbitmq-server,ejabberd
if [ "$suite" = sid ]; then packages=$packages,$services; fi
made=$dir.made
is_made() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
if is_made "$made" "$packages" && { [ -z "$with" ] || is_made "$with.made" "$packages,$others"; }; then exit 0; fi
# An archive that is kept as of one day looks expired to a clock that goes on.
old='Acquire::Check-Valid-Until=false'
install() { DEBIAN_FRONTEND=noninteractive chroot "$dir" apt-get -o "$old" install -y -qq --no-install-recommends "$@" >>"$dir.log" 2>&1 || { tail -n 3 "$dir.log" >&2; exit 1; }; }
# No daemon of the root is to start in the machine that makes it.
quiet() { printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"; chmod +x "$dir/usr/sbin/policy-rc.d"; }
# Nor what Erlang has, in the worlds: the rows have their own programs at these ports, and the lab starts its own.
ready() { chroot "$dir" systemctl mask -q epmd.service epmd.socket rabbitmq-server.service ejabberd.service >>"$dir.log" 2>&1; rm -f "$dir/usr/sbin/policy-rc.d" "$dir"/var/cache/apt/archives/*.deb; echo "$1" >"$dir.made"; }

if [ ! -x "$dir/usr/bin/dpkg" ]; then
  mirror=$(sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p' \
    /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
  debootstrap --variant=minbase --include="$packages" "$suite" "$dir" "$mirror" >"$dir.log" 2>&1 || { tail -n 3 "$dir.log" >&2; exit 1; }
fi
if ! is_made "$made" "$packages"; then
  quiet
  chroot "$dir" apt-get -o "$old" update -qq >>"$dir.log" 2>&1
  # shellcheck disable=SC2086 # a list
  install ${packages//,/ }
  if [ -z "$(ls "$dir/usr/lib/modules" 2>/dev/null)" ]; then
    image=$(chroot "$dir" apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    parts=$image
    # From 7.x on the kernel and its modules are packages of their own.
    for part in "${image/image/binary}" "${image/image/modules}"; do
      if chroot "$dir" apt-cache show "$part" >/dev/null 2>&1; then parts="$parts $part"; fi
    done
    # Unpacked and not installed: an initrd is of no use here.
    chroot "$dir" sh -c "cd /tmp && apt-get download -qq $parts" >/dev/null
    for package in "$dir"/tmp/linux-*.deb; do dpkg -x "$package" "$dir"; done
    rm -f "$dir"/tmp/linux-*.deb
    # dpkg -x puts a folder where a merged /usr has a link.
    if [ ! -L "$dir/lib" ]; then
      mkdir -p "$dir/usr/lib/modules"
      cp -a "$dir"/lib/modules/. "$dir/usr/lib/modules/"
      rm -rf "${dir:?}/lib"
      ln -s usr/lib "$dir/lib"
    fi
    depmod -b "$dir" "$(ls "$dir/usr/lib/modules")"
  fi
  ready "$packages"
fi
[ -n "$with" ] || exit 0

rm -rf "$with"
mkdir -p "$(dirname "$with")"
cp -a --reflink=auto "$dir" "$with"
dir=$with
quiet
chroot "$dir" apt-get -o "$old" update -qq >>"$dir.log" 2>&1
# shellcheck disable=SC2086 # a list
install ${others//,/ }
# It and ufw exclude each other: installed where it is tried.
chroot "$dir" sh -c 'mkdir -p /var/cache/through && cd /var/cache/through && apt-get download -qq netfilter-persistent iptables-persistent' >>"$dir.log" 2>&1
chroot "$dir" systemctl disable firewalld.service ufw.service nftables.service >>"$dir.log" 2>&1
ready "$packages,$others"
