if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
	systemctl daemon-reload || :
fi
