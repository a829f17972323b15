#!/bin/sh
# Makes the pictures in docs/ anew: the demo's flame graphs, and its Slack thread
# and the app's home as a browser shows them. Look at them before you commit them.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
browser=
for b in chromium chromium-browser google-chrome chrome; do
	if command -v "$b" >/dev/null 2>&1; then browser=$b; break; fi
done
[ -n "$browser" ] || { echo "pictures: no Chromium was found: sh scripts/setup.sh installs it"; exit 1; }
if ! fc-list | grep -qi emoji; then # 🔥 and ✅ would be empty boxes
	apt-get install -y --no-install-recommends fonts-noto-color-emoji >/dev/null || { echo "pictures: a font with emoji is missing, such as fonts-noto-color-emoji"; exit 1; }
fi
go run ./cmd/profbot demo --out "$out/demo"
cp "$out/demo/flame.png" docs/flame.png
cp "$out/demo/flame-after.png" docs/flame-after.png
# Narrow, so that it can be read at the width of a README, and without the
# folder of this checkout.
sed -i "s|$PWD/||g" "$out/demo/thread.html"
shot() { # PAGE PICTURE WIDTH HEIGHT
	"$browser" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync \
		--user-data-dir="$out/browser" --hide-scrollbars --force-device-scale-factor=2 --window-size="$3,$4" --screenshot="$PWD/docs/$2" "file://$out/demo/$1" 2>/dev/null
}
shot thread.html thread.png 720 1320
shot home.html home.png 720 710
