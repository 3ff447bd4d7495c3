#!/usr/bin/env bash
# box.sh DIR SHARE CMD...: what vm.sh does with VM_SYSTEMD, on this machine's own kernel and without an emulation: that release's
# systemd is process 1 of namespaces of its own, and CMD a unit there. It may write no sysctl but the network's, which are the
# namespace's, and has a name of its boot of its own. The end of CMD is the end of everything in it, as if the current were
# switched off. VM_OUT, VM_T, VM_SYSTEMD and VM_DISK as in vm.sh; /run/job/out is for results.
set -eu
root=$(realpath "$1") share=$(realpath "$2")
shift 2
work=$(mktemp -d)
# Version 2 alone, which every systemd takes; where this machine has both, that hierarchy is below the other.
groups=$(findmnt --noheadings --list --types cgroup2 --output TARGET | head -n 1)
group=${groups:?'no cgroup2 is mounted, without which no systemd runs'}/ringfence-box-$$
mkdir "$group"
box=
# shellcheck disable=SC2317 # at the end
clear_up() {
  if [ -n "$box" ]; then kill -KILL "$box" 2>/dev/null || true; wait "$box" 2>/dev/null || true; fi
  # Its processes are gone in a moment, and only then its groups can be.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.5
  done
  rm -rf "$work"
}
trap clear_up EXIT
mkdir -p "$work/job/out" "$work/high" "$work/tree"
printf '%s\n' "$*" >"$work/job/cmd"
printf '%s\n' "${VM_SYSTEMD:?}" >"$work/job/before"
: >"$work/job/said"
cat /proc/sys/kernel/random/uuid >"$work/boot"
cat >"$work/vm-job" <<'J'
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
sh /run/job/cmd >>/run/job/said 2>&1; echo $? >/run/job/ends; sync -f /run/job/ends; mv /run/job/ends /run/job/rc
J
cat >"$work/start" <<'S'
set -e
if [ -n "$disk" ]; then mount -o loop "$disk" "$work/high"; else mount -t tmpfs high "$work/high"; fi
mkdir -p "$work/high/upper" "$work/high/work"
mount -t overlay -o "lowerdir=$root,upperdir=$work/high/upper,workdir=$work/high/work" overlay "$work/tree"
cd "$work/tree"
mount -t proc proc proc; mount -t proc proc mnt; mount -t sysfs -o ro sys sys
mount --bind proc/sys proc/sys; mount -o remount,bind,ro proc/sys; mount --bind mnt/sys/net proc/sys/net; umount mnt
mount --bind "$work/boot" proc/sys/kernel/random/boot_id
mount -t tmpfs dev dev
for device in null zero full random urandom tty; do : >"dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
ln -s /proc/self/fd dev/fd; ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mkdir dev/shm dev/pts; mount -t tmpfs shm dev/shm; mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts; ln -s pts/ptmx dev/ptmx
mkdir -p ".$share"; mount --bind -o ro "$share" ".$share"; mount -o remount,bind,ro ".$share"
mount -t cgroup2 cgroup2 sys/fs/cgroup
cp "$work/vm-job" vm-job; chmod +x vm-job
mount -t tmpfs run run; mkdir run/lock run/job; mount --bind "$work/job" run/job
mount -t tmpfs tmp tmp
ip link set lo up
# Before anything of it runs: a package asks whether it is in a chroot.
pivot_root . mnt
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root chroot . sh -ec "$inside"
S
cat >"$work/inside" <<'S'
umount -l /mnt
sh /run/job/before >>/run/job/said 2>&1
# As after a start: nothing is left in /run and /tmp.
mount --bind /run/job /mnt
umount /run/job /run /tmp
mount -t tmpfs run /run; mkdir /run/lock /run/job; mount --bind /mnt /run/job
umount /mnt
printf '[Service]\nType=exec\nExecStart=/vm-job\nTimeoutStopSec=5\n' >/etc/systemd/system/vm-job.service
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf ../vm-job.service /etc/systemd/system/multi-user.target.wants/
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null --unit=multi-user.target
S
inside=$(cat "$work/inside")
export root share work group inside disk="${VM_DISK:-}"
# Into the group first, so that it is the root of the new namespace of groups.
# shellcheck disable=SC2016 # expanded there
sh -c 'echo $$ >"$group/cgroup.procs" && exec unshare --mount --propagation private --net --pid --fork --ipc --uts --cgroup --kill-child sh "$work/start"' \
  >"$work/console" 2>&1 </dev/null &
box=$!
tail -n +1 -f -s 0.2 --pid="$box" "$work/job/said" &
end=$((SECONDS + ${VM_T:-120}))
while [ ! -f "$work/job/rc" ] && [ "$SECONDS" -lt "$end" ] && kill -0 "$box" 2>/dev/null; do sleep 0.2; done
{ kill -KILL "$box" || true; wait; } 2>/dev/null
box=
if [ -n "${VM_OUT:-}" ]; then mkdir -p "$VM_OUT"; cp -r "$work/job/out/." "$VM_OUT"; fi
if [ -f "$work/job/rc" ]; then exit "$(cat "$work/job/rc")"; fi
echo 'the box did not come to the end of its command; what it said:' >&2
tail -n 20 "$work/console" >&2
exit 125
