#!/bin/sh
# Compiles a cluster file, loads the ruleset into a network namespace that vanishes with this script, and lists it back.
# demo.sh PROGRAM CLUSTER-FILE
set -eu
PATH=$PATH:/usr/sbin:/sbin
program=$1
file=$2

ruleset=$(mktemp)
trap 'rm -f "$ruleset"' EXIT
echo "\$ ringfence compile $file"
"$program" compile "$file" >"$ruleset"
cat "$ruleset"
echo
echo "# the same, loaded into the kernel in a network namespace of its own, as nft lists it:"
if [ "$(id -u)" = 0 ]; then set -- unshare --net; else set -- unshare --map-root-user --net; fi
"$@" sh -c "nft --file '$ruleset' && nft list table inet ringfence"
echo
echo "\$ ringfence rehearse $file"
# Where it cannot be had (2) it says why, and what came before stands.
tried=", and tried with packets there"
"$program" rehearse "$file" || { [ $? = 2 ]; tried=; }
echo
echo "# Shown: a ruleset made from $file, proved before it was printed, taken by this kernel$tried; nothing of this host was changed."
echo "# Next: make a cluster file of your own, as README.md says it under 'From a running cluster to rules in three commands'."
