#!/bin/sh
# Makes the pictures in docs/ anew: the demo's flame graph, and its Slack thread
# as a browser shows it. Look at them before you commit them.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
browser=
for b in chromium chromium-browser google-chrome chrome; do
	if command -v "$b" >/dev/null 2>&1; then browser=$b; break; fi
done
[ -n "$browser" ] || { echo "pictures: no Chromium was found: sh scripts/setup.sh installs it"; exit 1; }
go run ./cmd/profbot demo --out "$out/demo"
cp "$out/demo/flame.png" docs/flame.png
cp "$out/demo/flame-after.png" docs/flame-after.png
"$browser" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync \
	--user-data-dir="$out/browser" --hide-scrollbars --window-size=1400,3240 --screenshot="$PWD/docs/thread.png" "file://$out/demo/thread.html" 2>/dev/null
