#!/bin/sh
# `nft -j` has the same JSON for an interface whose name begins with `@` and for the set of that name.
#
# Seen (0.9.8 to 1.1.7): `iifname "@x"` and `iifname @x` are both listed as `"right": "@x"`; what was listed of the first is loaded
# as the second. Expected: two forms, as the text has them.
#
# Needs root, for a network namespace of its own, and nft with JSON; changes nothing outside of it and a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >rules <<'RULES'
table inet t {
	set x { type ifname; elements = { "lo" }; }
	chain c {
		iifname "@x" accept
		iifname @x accept
	}
}
RULES
unshare -n sh -eu -c '
	nft -f rules
	nft list chain inet t c >text
	nft -j list chain inet t c >json
	nft -j list ruleset >all
	nft flush ruleset
	nft -j -f all
	nft list chain inet t c >again'
echo "nft lists:           $(grep iifname text | tr -s '\t\n' ' ')"
echo "nft -j lists:        $(grep -o '"right": "[^"]*"' json | tr '\n' ' ')"
echo "the same from JSON:  $(grep iifname again | tr -s '\t\n' ' ')"
if [ "$(grep -c 'iifname "@x"' text)" != 1 ] || [ "$(grep -o '"right": "@x"' json | wc -l)" != 2 ] ||
	[ "$(grep -c 'iifname @x' again)" != 2 ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
