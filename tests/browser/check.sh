#!/bin/sh
# A report in a real browser: light, dark and on paper, without network, and without a serious finding about accessibility.
# Chromium is Debian's; axe-core and puppeteer-core come from npm into a folder of their own. Screenshots are in $1/*.png.
# Usage: check.sh FOLDER PROGRAM
set -eu
folder=$1 program=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if ! command -v chromium >/dev/null || ! command -v npm >/dev/null; then
	if [ "$(id -u)" != 0 ]; then
		echo 'report-check: chromium and npm are needed: apt-get install chromium npm' >&2
		exit 1
	fi
	apt-get install -y -q chromium npm >/dev/null
fi
mkdir -p "$folder"
cp "$here/package.json" "$here/check.mjs" "$folder"
(cd "$folder" && PUPPETEER_SKIP_DOWNLOAD=1 npm install --silent --no-audit --no-fund)
small=$root/tests/transcripts/small.toml
"$program" report "$root/rulesets/examples/mail-east.toml" -o "$folder/proved.html" >/dev/null
"$program" compile "$small" | sed 's/goto block comment "isolation: everyone else"/return/' >"$folder/open.nft"
"$program" report "$small" --ruleset "$folder/open.nft" -o "$folder/violated.html" >/dev/null || [ $? = 1 ]
"$program" compile "$small" >"$folder/own.nft"
printf 'table inet other { chain c { type filter hook input priority 0; meta random < 7 drop; }\n}\n' >>"$folder/own.nft"
"$program" report "$small" --ruleset "$folder/own.nft" --since "$folder/open.nft" -o "$folder/undecided.html" >/dev/null || [ $? = 3 ]
cd "$folder"
exec node check.mjs "$(command -v chromium)" proved.html violated.html undecided.html
