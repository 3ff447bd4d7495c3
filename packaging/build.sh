#!/bin/sh
# Makes the packages of what is built. build.sh TARGET-DIR PROFILE OUTPUT-DIR [TRIPLE-OF-THE-STATIC-BINARY]
set -eu
target=$1 profile=$2 output=$3 triple=${4:-}
tools=$PWD/target/tools/bin
PATH=$tools:$PATH

packaging/tools.sh
case $profile in
dev) folder=debug ;;
*) folder=$profile ;;
esac
rm -rf target/generated "$output"
"$target/$folder/ringfence" generate target/generated
mkdir -p target/generated/man "$output"
mv target/generated/*.1 target/generated/man/
gzip -9nc packaging/changelog >target/generated/changelog.gz
if [ "$profile" = dev ]; then fast=--fast compress=none; else fast='' compress=gzip; fi
if [ "$profile" != dev ]; then
	strip --strip-all --remove-section=.comment "$target/$folder/ringfence" ${triple:+"$target/$triple/$folder/ringfence"}
fi
# shellcheck disable=SC2086 # no word where it is empty
CARGO_TARGET_DIR=$target cargo deb --quiet --no-build $fast --profile "$profile" --output "$output/"
for page in target/generated/man/*.1; do
	gzip -9n "$page"
done
# shellcheck disable=SC2086
cargo generate-rpm --profile "$profile" --target-dir "$target" ${triple:+--target "$triple"} \
	--payload-compress "$compress" --output "$output/"
ls "$output"/*
