#!/usr/bin/env bash
# build.sh WORLDS: the program and its tests, built in the oldest world against its libc, libnftnl and libmnl, so that
# one binary runs in all of them with each world's own libraries. They end up in target/worlds-build of the repository,
# with TESTS=yes also the suites and two packages, of this tree and of release 0.1.0.
set -eu
worlds=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
room=$worlds/build
"$here/tests/worlds/root.sh" bullseye "$worlds/bullseye"
if [ ! -f "$room.made" ]; then
  rm -rf "$room"
  cp -a --reflink=auto "$worlds/bullseye" "$room"
  rm -rf "$room/usr/lib/modules"
  DEBIAN_FRONTEND=noninteractive chroot "$room" apt-get -o Acquire::Check-Valid-Until=false install -y -qq \
    --no-install-recommends gcc libc6-dev libmnl-dev libnftnl-dev pkg-config perl make >"$room.log" 2>&1 || { tail -n 3 "$room.log" >&2; exit 1; }
  touch "$room.made"
fi
# The compiler is this machine's: it runs with any libc that is not older than itself asks for.
compiler=$(cd "$here" && rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
host=$(rustc -vV | sed -n 's/^host: //p')
# Release 0.1.0, from which upgrades start; built once.
release=e8d7e77
old=$here/target/worlds-release
if [ "${TESTS:-yes}" = yes ] && [ ! -f "$old/ringfence.deb" ]; then
  rm -rf "$old"
  mkdir -p "$old/tree"
  git -C "$here" archive "$release" | tar -x -C "$old/tree"
fi
# What has been fetched already is taken as it is; the rest is fetched here, where the network is.
(cd "$here" && cargo fetch --quiet --locked)
# For the page: what was built, whatever is checked out when it is tried.
commit=$(git -C "$here" describe --always --dirty --exclude='*' 2>/dev/null || echo 'no commit')
export room here old compiler cargo_home host
# In a mount namespace, so that nothing stays mounted. Everything has the same path inside, which tests have built in.
unshare -m bash -eu -o pipefail <<'I'
for folder in "$here" "$compiler" "$cargo_home"; do
  mkdir -p "$room$folder"
  mount --bind "$folder" "$room$folder"
done
mount -t proc proc "$room/proc"
mount --bind /dev "$room/dev"
inside() { chroot "$room" env -i PATH="$compiler/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root CARGO_HOME="$cargo_home" LANG=C.UTF-8 \
  CARGO_TARGET_DIR="$here/target/worlds-build" "$@"; }
if [ "${TESTS:-yes}" = yes ] && [ ! -f "$old/ringfence.deb" ]; then
  inside sh -eu -c "cd '$old/tree' && cargo build --quiet --offline --locked --target-dir '$old/build'"
  cp "$old/build/debug/ringfence" "$old/ringfence"
  rm -rf "$old/build"
fi
inside sh -eu -c "cd '$here' && cargo build --quiet --offline --locked"
inside sh -eu -c "cd '$here' && RUSTFLAGS='-C target-feature=+crt-static' CARGO_PROFILE_DEV_DEBUG=0 cargo build --quiet --offline --locked \
  --no-default-features --target $host"
# Without suites the list of them is empty: one of an earlier run names binaries that are gone.
mkdir -p "$here/target/worlds-build"
: >"$here/target/worlds-build/tests"
if [ "${TESTS:-yes}" = yes ]; then
  inside sh -eu -c "cd '$here' && cargo test --quiet --offline --locked --no-run --test kernel --test netlink --test faults \
    --test host_iptables --message-format=json" | sed -nE 's/.*"name":"(kernel|netlink|faults|host_iptables)".*"executable":"([^"]+)".*/\1 \2/p' \
    >"$here/target/worlds-build/tests"
fi
I
if [ "${TESTS:-yes}" = yes ]; then
  if [ ! -f "$old/ringfence.deb" ]; then "$here/tests/worlds/deb.sh" "$old/tree" "$old/ringfence" "$old/ringfence.deb"; fi
  "$here/tests/worlds/deb.sh" "$here" "$here/target/worlds-build/debug/ringfence" "$here/target/worlds-build/ringfence.deb"
fi
echo "$commit" >"$here/target/worlds-build/commit"
