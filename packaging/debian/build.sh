#!/bin/sh
# Makes the .deb with Debian's own tools. debian/build.sh STAGE COMPRESSION OUTPUT-DIR; SOURCE_DATE_EPOCH is set.
set -eu
stage=$1 compression=$2 output=$(realpath "$3")
packaging=$PWD/packaging
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The control file, the substitutions and the changelog are found where a source package has them.
mkdir "$work/debian" "$stage/DEBIAN"
cp "$packaging/debian/control" "$work/debian/"
cp "$packaging/changelog" "$work/debian/"
for script in postinst prerm postrm; do
	install -m 755 "$packaging/debian/$script" "$stage/DEBIAN/"
done
stage=$(realpath "$stage")
cd "$work"
dpkg-shlibdeps -Tdebian/substvars "$stage/usr/bin/ringfence"
dpkg-gencontrol -pringfence -P"$stage" -Tdebian/substvars -fdebian/files
chmod 644 "$stage/DEBIAN/control"
find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group "-Z$compression" --build "$stage" "$output" >/dev/null
