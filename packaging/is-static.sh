#!/bin/sh
# Fails unless a program needs no library. is-static.sh PROGRAM
set -eu
if LC_ALL=C ldd "$1" 2>&1 | grep -qE 'statically linked|not a dynamic executable'; then
	echo "$1 needs no library"
else
	echo "$1 is not static" >&2
	exit 1
fi
