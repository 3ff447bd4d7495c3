#!/bin/sh
# Makes the packages of what is built. build.sh TARGET-DIR PROFILE OUTPUT-DIR [TRIPLE-OF-THE-STATIC-BINARY]
set -eu
target=$1 profile=$2 output=$3 triple=${4:-}

case $profile in
dev) folder=debug compression=gzip payload=w1.gzdio ;;
*) folder=$profile compression=xz payload=w9.gzdio ;;
esac
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# The day of the release, for every date within.
SOURCE_DATE_EPOCH=$(date --date="$(sed -n 's/^ -- .*>  //p' packaging/changelog | head -n 1)" +%s)
export SOURCE_DATE_EPOCH

generated=target/generated
rm -rf "$generated" "$output"
"$target/$folder/ringfence" generate "$generated"
mkdir -p "$generated/man" "$output"
mv "$generated"/*.[15] "$generated/man/"
gzip -9n "$generated"/man/*.[15]
gzip -9nc packaging/changelog >"$generated/changelog.gz"

if command -v dpkg-shlibdeps >/dev/null && [ ! -e /etc/redhat-release ]; then
	packaging/install.sh deb "$generated/deb" "$target/$folder/ringfence" "$generated"
	sh packaging/debian/build.sh "$generated/deb" "$compression" "$output"
else
	echo 'no .deb: what it depends on is known on Debian and Ubuntu only' >&2
fi

packaging/install.sh rpm "$generated/rpm" "$target/${triple:+$triple/}$folder/ringfence" "$generated"
find "$generated/rpm" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
top=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$top" "$log"' EXIT
if ! rpmbuild -bb --quiet --define "_topdir $top" --define "_rpmdir $top" --define '_rpmfilename %{name}-%{version}-%{release}.%{arch}.rpm' \
	--define "version_of_it $version" --define "stage $PWD/$generated/rpm" --define "scripts $PWD/packaging/rpm" \
	--define "_binary_payload $payload" packaging/rpm/ringfence.spec >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
mv "$top"/*.rpm "$output/"

# It writes into the home folder otherwise.
ANSIBLE_HOME=$top/ansible HOME=$top ansible-galaxy collection build packaging/ansible --output-path "$output" >"$log" 2>&1 || {
	cat "$log" >&2
	exit 1
}
ls "$output"/*
