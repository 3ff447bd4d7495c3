#!/usr/bin/env bash
# deb.sh TREE BINARY OUT: a .deb of that tree with that binary. A tree with packaging/install.sh makes its own; release 0.1.0
# had its list of files in Cargo.toml, for a tool that is not needed here.
set -eu
tree=$(realpath "$1") binary=$(realpath "$2") out=$(realpath "$3")
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
generated=$stage/generated
mkdir -p "$generated/man" "$stage/deb/DEBIAN"
"$binary" generate "$generated"
find "$generated" -maxdepth 1 -name '*.[1-8]' -exec mv -t "$generated/man" {} +
gzip -9n "$generated"/man/*
gzip -9nc "$tree/packaging/changelog" >"$generated/changelog.gz"
cd "$tree"
if [ -f packaging/install.sh ]; then
  packaging/install.sh deb "$stage/deb" "$binary" "$generated"
else
  python3 - "$binary" "$generated" "$stage/deb" <<'P'
import glob, os, shutil, sys, tomllib
binary, generated, stage = sys.argv[1:]
with open("Cargo.toml", "rb") as file:
    deb = tomllib.load(file)["package"]["metadata"]["deb"]
for source, to, mode in deb["assets"]:
    source = source.replace("target/release/ringfence", binary).replace("target/generated", generated)
    for path in glob.glob(source):
        target = os.path.join(stage, to, os.path.basename(path)) if to.endswith("/") else os.path.join(stage, to)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, target)
        os.chmod(target, int(mode, 8))
P
  strip --strip-all "$stage/deb/usr/bin/ringfence"
fi
for script in postinst prerm postrm; do install -m 755 "packaging/debian/$script" "$stage/deb/DEBIAN/$script"; done
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
cat >"$stage/deb/DEBIAN/control" <<C
Package: ringfence
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: make matrix <root@localhost>
Depends: libc6 (>= 2.30), libgcc-s1, libmnl0, libnftnl11 (>= 1.1.5)
Description: the tree under test, for make matrix
C
dpkg-deb --root-owner-group -Znone --build "$stage/deb" "$out" >/dev/null
