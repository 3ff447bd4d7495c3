#!/bin/sh
# Puts the files of one package below a folder, as packaging/files lists them. install.sh deb|rpm FOLDER PROGRAM GENERATED
set -eu
kind=$1 stage=$2 program=$3 generated=$4
grep -v '^#' packaging/files | while read -r packages mode source destination; do
	case $packages in
	both | "$kind") ;;
	deb | rpm) continue ;;
	*)
		echo "packaging/files: $packages is none of both, deb, rpm" >&2
		exit 1
		;;
	esac
	case $source in
	PROGRAM) source=$program ;;
	GENERATED/*) source=$generated/${source#GENERATED/} ;;
	esac
	# A pattern that matches nothing stays as it is, and install fails.
	for file in $source; do
		case $destination in
		*/) install -D -m "$mode" "$file" "$stage/$destination${file##*/}" ;;
		*) install -D -m "$mode" "$file" "$stage/$destination" ;;
		esac
	done
done
# Folders have the same rights whatever the umask is.
find "$stage" -type d -exec chmod 755 {} +
# Nobody needs the symbols.
strip --strip-all --remove-section=.comment "$stage/usr/bin/ringfence"
