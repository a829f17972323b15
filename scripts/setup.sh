#!/bin/sh
# Finds what the tests want beside Go, and installs it where it may. Tests that
# miss something skip with the reason, and fail where CI=true.
set -u

have() { command -v "$1" >/dev/null 2>&1; }

install() { # PACKAGE: what it is for
	if [ "$(id -u)" = 0 ] && have apt-get; then
		echo "setup: installing $1 ($2)"
		apt-get install -y --no-install-recommends "$1" >/dev/null 2>&1 ||
			{ apt-get update >/dev/null 2>&1 && apt-get install -y --no-install-recommends "$1" >/dev/null 2>&1; } ||
			echo "setup: $1 could not be installed: $2"
	else
		echo "setup: $1 is missing: $2"
	fi
}

have cc || have gcc || install gcc "the race detector needs a C compiler"
have chromium || have chromium-browser || have google-chrome || have chrome || have headless_shell ||
	install chromium "pages are opened in a real browser"
have redis-server || install redis-server "the cache is tested against a real Redis"
exit 0
