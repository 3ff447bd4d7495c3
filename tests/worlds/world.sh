#!/usr/bin/env bash
# world.sh NAME: the rows of one world; started by matrix.sh, which sets the rest.
set -eu
name=$1
built=$HERE/target/worlds-build
host=$(rustc -vV | sed -n 's/^host: //p')
out=$RESULTS/$name
rm -rf "$out"
mkdir -p "$out"
inside() {
  echo "ROWS='${ROWS:-}' PYTHONDONTWRITEBYTECODE=1 python3 $HERE/tests/worlds/rows.py $MODE $1 $built/debug/ringfence" \
    "$built/$host/debug/ringfence $built/tests"
}
if [ "$name" = host ]; then
  # Namespaces of its own, and a /tmp and names of namespaces that nobody else sees. Modules are the machine's.
  mkdir -p /run/netns
  unshare -n -m --propagation private sh -c "mount -t tmpfs names /run/netns; mount -t tmpfs tmp /tmp; ip link set lo up
    $(inside "$out")" || true
else
  # A machine that takes longer has its rows cut off, which are then not tried.
  VM_OUT=$out VM_T=${VM_T:-3300} VM_M=${VM_M:-1500} "$HERE/tests/worlds/vm.sh" "$ROOTS/$name" "$HERE" "$(inside /run/job/out)" || true
fi 2>&1 | sed -u "s/^/$name | /"
python3 "$HERE/tests/worlds/page.py" merge "$RESULTS/$name.jsonl" "$out" "$DAY" "$COMMIT"
