#!/usr/bin/env bash
# world.sh NAME: the rows of one world; started by matrix.sh, which sets the rest.
set -eu
name=$1
built=$HERE/target/worlds-build
out=$RESULTS/$name
rm -rf "$out"
mkdir -p "$out"
rows() { echo "ROWS='${ROWS:-}' PATIENCE='${PATIENCE:-}' KILLS='${KILLS:-}' KILLS_EVERY='${KILLS_EVERY:-}' PYTHONDONTWRITEBYTECODE=1 python3 $HERE/tests/worlds/rows.py $1 $MODE $2 $built"; }
# A machine that takes longer has its rows cut off, which are then not tried.
export VM_T=${VM_T:-$((3300 * ${PATIENCE:-1}))} VM_M=${VM_M:-1500}
wanted=$(python3 -B "$HERE/tests/worlds/rows.py" list "$MODE" | grep -E "${ROWS:-}" || true)
# The rows of packages, in a machine that STARTER starts from ROOT, with a name of their own, since a machine that dies has no end.
packages() {
  local starter=$1 root=$2
  if ! grep -q '^packages/' <<<"$wanted"; then return; fi
  VM_OUT=$out/systemd VM_SYSTEMD=$(python3 -B "$HERE/tests/worlds/rows.py" before "$built" systemd) \
    "$HERE/tests/worlds/$starter" "$root" "$HERE" "$(rows systemd /run/job/out)" || true
}
# The rows of other firewalls, likewise.
through() {
  local starter=$1 root=$2 others other disk phase
  others=$(sed -n 's,^through/\([^/]*\)/.*,\1,p' <<<"$wanted" | sort -u)
  for other in $others; do
    # A disk of its own, which each start of the machine finds as the one before left it.
    disk=$(mktemp)
    truncate -s 2G "$disk"
    mkfs.ext4 -q "$disk"
    for phase in "through-$other-"{1,2,3}; do
      VM_OUT=$out/$phase VM_DISK=$disk VM_SYSTEMD=$(python3 -B "$HERE/tests/worlds/rows.py" before "$built" "$phase") \
        "$HERE/tests/worlds/$starter" "$root" "$HERE" "$(rows "$phase" /run/job/out)" || true
    done
    rm -f "$disk"
  done
}
machine=
if grep -qvE '^(packages|through)/' <<<"$wanted"; then machine=yes; fi
if [ "$name" = host ]; then
  if [ -n "$machine" ]; then
    # Namespaces of its own, and a /tmp and names of namespaces that nobody else sees. Modules are the machine's.
    mkdir -p /run/netns
    unshare -n -m --propagation private sh -c "mount -t tmpfs names /run/netns; mount -t tmpfs tmp /tmp; ip link set lo up
      $(rows host "$out")" || true
  fi
  # Without a root of this machine's release these are not tried.
  if [ -f "$ROOTS/$SUITE.made" ]; then packages box.sh "$ROOTS/$SUITE"; fi
  if [ -f "$ROOTS-through/$SUITE.made" ]; then through box.sh "$ROOTS-through/$SUITE"; fi
else
  if [ -n "$machine" ]; then
    VM_OUT=$out "$HERE/tests/worlds/vm.sh" "$ROOTS/$name" "$HERE" "$(rows machine /run/job/out)" || true
  fi
  packages vm.sh "$ROOTS/$name"
  through vm.sh "$ROOTS-through/$name"
fi 2>&1 | sed -u "s/^/$name | /"
python3 -B "$HERE/tests/worlds/page.py" merge "$RESULTS/$name.jsonl" "$out" "$DAY" "$COMMIT"
