#!/usr/bin/env bash
# vm.sh DIR SHARE CMD...: boots the kernel in DIR (made by root.sh) on a disk of DIR, runs CMD there as root, prints what it prints
# and exits with its status. SHARE, a folder, has the same path inside, read-only; /run/job/out is for results, and is
# copied to $VM_OUT. Nothing that is done inside changes DIR. VM_T seconds at most, VM_M MiB. VM_SYSTEMD, a command: it is
# run first, and then that release's systemd is booted, and CMD run as a unit. VM_DISK, a file with an empty ext4: what is done
# inside is kept there, for the next machine that gets it.
set -eu
root=$(realpath "$1") share=$(realpath "$2")
shift 2
version=$(ls "$root/usr/lib/modules") modules=$root/usr/lib/modules/$(ls "$root/usr/lib/modules")
kernel=$(find "$root/boot" "$modules" -maxdepth 1 -name 'vmlinuz*' | head -n 1)
# A disk, since the machine keeps what it has read of one: through 9p most of its time goes by waiting for this side to open
# the files of whatever it starts. Made once, anew with the root.
image=$root.ext4
if [ ! -f "$image" ] || [ "$root.made" -nt "$image" ]; then
  mke2fs -q -t ext4 -O ^has_journal -d "$root" "$image.new" "$(($(du -sm "$root" | cut -f 1) * 5 / 4 + 200))M" >/dev/null
  mv "$image.new" "$image"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
mkdir -p "$tree"/{bin,m,proc,sys,dev,low,high,root} "$work/job/out" "$work/none"
cp "$(command -v busybox)" "$tree/bin/"
for module in virtio_pci virtio_blk crc32c_generic ext4 9p 9pnet_virtio overlay; do
  # What is built in is found nowhere.
  modprobe -d "$root" -S "$version" --show-depends "$module" 2>/dev/null | awk '/^insmod/ { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
  name=$(basename "$file")
  case $name in
    *.xz) name=${name%.xz}; xz -dc "$file" >"$tree/m/$name" ;;
    *.zst) name=${name%.zst}; zstd -dcq "$file" >"$tree/m/$name" ;;
    *) cp "$file" "$tree/m/" ;;
  esac
  echo "$name" >>"$tree/order"
done
high='tmpfs tmpfs'
if [ -n "${VM_DISK:-}" ]; then high='ext4 /dev/vdb'; fi
cat >"$tree/init" <<I
#!/bin/busybox sh
/bin/busybox --install -s /bin; export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read m; do insmod /m/\$m; done </order
mount -t ext4 -o ro,noload /dev/vda /low || poweroff -f
mount -t $high /high || poweroff -f; mkdir -p /high/upper /high/work
mount -t overlay -o lowerdir=/low,upperdir=/high/upper,workdir=/high/work overlay /root || poweroff -f
mount --move /proc /root/proc; mount --move /sys /root/sys; mount --move /dev /root/dev
cp /vm-init /vm-job /vm-mount /root/
exec switch_root /root /vm-init
I
# Both folders are there before anything else runs.
cat >"$tree/vm-mount" <<I
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mkdir -p /run/job "$share"
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none job /run/job
mountpoint -q "$share" || mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose share "$share"
ip link set lo up
I
cat >"$tree/vm-init" <<'I'
#!/bin/sh
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp; mkdir -p /run/lock /dev/pts /dev/shm
ln -s /proc/self/fd /dev/fd; ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr # as every init does; nft 0.9.8 needs it
mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm; mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
. /vm-mount
if [ ! -f /run/job/before ]; then exec /vm-job; fi
sh /run/job/before >>/run/job/said 2>&1
umount /run/job /sys/fs/cgroup /dev/shm /dev/pts /tmp /run
printf '[Service]\nType=exec\nExecStart=/vm-job\nTimeoutStopSec=5\n' >/etc/systemd/system/vm-job.service
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf ../vm-job.service /etc/systemd/system/multi-user.target.wants/
exec /lib/systemd/systemd systemd.unit=multi-user.target
I
cat >"$tree/vm-job" <<'I'
#!/bin/sh
mountpoint -q /run/job || . /vm-mount
sh /run/job/cmd >>/run/job/said 2>&1; echo $? >/run/job/rc
sync; echo o >/proc/sysrq-trigger; sleep 5
I
chmod +x "$tree/init" "$tree/vm-init" "$tree/vm-job"
(cd "$tree" && find . | cpio -o -H newc 2>/dev/null) >"$work/initrd"
printf '%s\n' "$*" >"$work/job/cmd"
: >"$work/job/said"
if [ -n "${VM_SYSTEMD:-}" ]; then printf '%s\n' "$VM_SYSTEMD" >"$work/job/before"; fi
disk=()
if [ -n "${VM_DISK:-}" ]; then disk=(-drive "file=$VM_DISK,format=raw,if=virtio,cache=unsafe"); fi
# Its clock counts instructions, a nanosecond each, and waits as long as everybody: with a clock of this side, what other work takes
# of the processor is a time in which that machine stood still, and connections of its cluster were lost by that.
# Without what costs an emulation much and is nothing to netfilter: a fifth level of pages, guards against a processor that
# leaks, instructions that go over a page by single bytes, and random addresses, since code is translated anew for each.
timeout "${VM_T:-120}" qemu-system-x86_64 -accel tcg,thread=single -icount shift=0,sleep=on -cpu max,la57=off,smap=off,erms=off -m "${VM_M:-1024}" -smp 1 -nographic -no-reboot -net none \
  -kernel "$kernel" -initrd "$work/initrd" -append 'console=ttyS0 panic=-1 net.ifnames=0 mitigations=off norandmaps quiet' \
  -drive file="$image",format=raw,if=virtio,readonly=on \
  -fsdev local,id=j,path="$work/job",security_model=none -device virtio-9p-pci,fsdev=j,mount_tag=job \
  -fsdev local,id=h,path="$share",security_model=none,multidevs=remap,readonly=on -device virtio-9p-pci,fsdev=h,mount_tag=share \
  "${disk[@]}" >"$work/console" 2>&1 </dev/null &
machine=$!
tail -n +1 -f -s 1 --pid="$machine" "$work/job/said"
wait "$machine" || true
if [ -n "${VM_OUT:-}" ]; then mkdir -p "$VM_OUT"; cp -r "$work/job/out/." "$VM_OUT"; fi
if [ -f "$work/job/rc" ]; then exit "$(cat "$work/job/rc")"; fi
echo 'the machine did not come to the end of its command; the end of its console:' >&2
tail -n 20 "$work/console" >&2
exit 125
