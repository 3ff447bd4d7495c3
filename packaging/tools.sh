#!/bin/sh
# Installs what makes the packages into target/tools, where it is missing.
set -eu
# install NAME VERSION
install() {
	if [ ! -x "target/tools/bin/$1" ]; then
		echo "building $1 $2, once" >&2
		# It is built to be used a few times.
		CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
			"${CARGO:-cargo}" install --quiet --locked --root target/tools --version "$2" "$1"
	fi
}
install cargo-deb 3.8.0
install cargo-generate-rpm 0.21.1
