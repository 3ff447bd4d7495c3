#!/usr/bin/env bash
# matrix.sh: every row in every world, and docs/worlds.md of what came out. As root, on Debian or a child of it.
#   MATRIX=short   a quarter of an hour instead of some hours
#   WORLDS=DIR     where the roots and their disks are kept, 2 GB each; those with other firewalls in DIR-through
#   ONLY='a b'     these worlds only; ROWS=REGEX these rows only: results of earlier runs stay beside them
#   PATIENCE=N     a row, and a machine, may take N times as long as they do on idle processors; otherwise 1
#   KILLS=N        so many changes are killed in each row of kills, otherwise 40, or 6 in the short form
#   KILLS_EVERY=N  in emulated machines the suite of faults kills at every N-th step of a command, otherwise at every 5th
#   JOBS=N         so many worlds at a time, otherwise two, or one where the machine has other work
set -eu
HERE=$(cd "$(dirname "$0")/../.." && pwd)
lab=$HERE/tests/worlds
MODE=${MATRIX:-full}
ROOTS=${WORLDS:-$HERE/target/worlds}
RESULTS=$HERE/target/worlds-results
all=(bullseye bookworm trixie sid host)
read -ra only <<<"${ONLY:-${all[*]}}"
[ "$(id -u)" = 0 ] || { echo 'make matrix needs root: it makes roots, boots them and makes namespaces' >&2; exit 2; }
for tool in debootstrap qemu-system-x86_64 busybox cpio modprobe mke2fs zstd xz strace; do
  command -v "$tool" >/dev/null || missing=yes
done
if [ -n "${missing:-}" ]; then
  echo 'installing debootstrap qemu-system-x86 busybox-static cpio kmod e2fsprogs zstd xz-utils strace' >&2
  apt-get install -y -qq debootstrap qemu-system-x86 busybox-static cpio kmod e2fsprogs zstd xz-utils strace >/dev/null
fi
mkdir -p "$ROOTS" "$RESULTS" "$HERE/docs"
if [ -f "$HERE/docs/worlds.md" ]; then python3 -B "$lab/page.py" take "$HERE/docs/worlds.md" "$RESULTS"; fi
# The release of this machine, a root of which `host` has for packages and other firewalls.
SUITE=$(sed -nE 's/^VERSION_CODENAME="?([a-z]+)"?$/\1/p' /etc/os-release)
for world in "${only[@]}"; do
  if [ "$world" = host ]; then
    # Both are rows of the long form alone.
    case " ${all[*]} $MODE" in *" $SUITE "*full) world=$SUITE ;; *) continue ;; esac
  fi
  case $MODE in short) with= ;; *) with=$ROOTS-through/$world ;; esac
  "$lab/root.sh" "$world" "$ROOTS/$world" "$with"
done
case $MODE in short) tests=no ;; *) tests=yes ;; esac
if [ "${BUILD:-yes}" = yes ]; then TESTS=${TESTS:-$tests} "$lab/build.sh" "$ROOTS"; fi
COMMIT=$(cat "$HERE/target/worlds-build/commit")
DAY=$(date +%F)
export HERE MODE ROOTS RESULTS COMMIT DAY SUITE
jobs=${JOBS:-$(awk -v cores="$(nproc)" '{ print ($1 > cores / 2) ? 1 : 2 }' /proc/loadavg)}
status=0
printf '%s\n' "${only[@]}" | xargs -P "$jobs" -n 1 "$lab/world.sh" || status=1
python3 -B "$lab/page.py" page "$RESULTS" "$MODE" "${all[@]}" >"$RESULTS/page" || status=$?
cp "$RESULTS/page" "$HERE/docs/worlds.md"
exit "$status"
