#!/bin/sh
# Profiles real Go servers under load; rewrites docs/real/*.txt, the pictures
# beside them, and the reports inside docs/real-servers.md:
#
#   sh scripts/real.sh                  all of them, some six minutes
#   sh scripts/real.sh etcd caddy       only these
#   sh scripts/real.sh openfga          built from its module: some minutes more
#
# The servers are Debian's own builds, but for the last. Their packages are
# unpacked into a temporary folder, not installed, so no service starts and
# nothing is left. Each listens on free loopback ports only, and is ended by
# its pid.
# WINDOW=10 takes shorter profiles; OUT=dir keeps a folder of profiles for each,
# of a second run, with its report, for go tool pprof and profbot --draw.
set -eu
cd "$(dirname "$0")/.."
window=${WINDOW:-20}
all="prometheus etcd caddy nats alertmanager influxdb victoria-metrics registry syncthing pushgateway node-exporter"

case "${1-}" in -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
for tool in go curl apt-get dpkg; do
	command -v "$tool" >/dev/null 2>&1 || { echo "real: $tool is missing: the servers are unpacked from Debian's packages and profiled here"; exit 1; }
done

tmp=$(mktemp -d)
pid= link= made=
stop() { # the one server that runs
	[ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || :; }
	[ -z "$link" ] || rm "$link"
	[ -z "$made" ] || rmdir "$made"
	pid= link= made=
}
trap 'stop; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
root=$tmp/root
mkdir -p "$root" "$tmp/deb" docs/real
go build -o "$tmp/profbot" ./cmd/profbot
go build -o "$tmp/load" ./scripts/real

package() { # NAME: the Debian package of a server
	case $1 in
	etcd) echo etcd-server ;;
	nats) echo nats-server ;;
	registry) echo docker-registry ;;
	alertmanager | pushgateway | node-exporter) echo "prometheus-$1" ;;
	*) echo "$1" ;;
	esac
}

openfga=github.com/openfga/openfga/cmd/openfga@v1.8.13

unpack() { # PACKAGE
	if [ "$1" = openfga ]; then
		GOFLAGS=-mod=mod GOWORK=off GOBIN=$root/usr/bin go install "$openfga"
		return
	fi
	(cd "$tmp/deb" && { apt-get -qq download "$1" 2>/dev/null || { apt-get -qq update && apt-get -qq download "$1"; }; } >/dev/null 2>&1) ||
		{ echo "real: the package $1 cannot be had here: on Debian 12, as root, apt-get finds it"; return 1; }
	dpkg -x "$tmp"/deb/"$1"_*.deb "$root"
}

run() { # URL COMMAND...: start a server, wait until the URL answers
	url=$1
	shift
	# Its own folder as home: some look there for configuration.
	(cd "$data" && exec env HOME="$data" XDG_CONFIG_HOME="$data" XDG_DATA_HOME="$data" "$@" >"$data/log" 2>&1) &
	pid=$!
	for _ in $(seq 100); do
		curl -sf -o "$data/ready" "$url" && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.2
	done
	echo "real: $server did not come up:"
	tail -5 "$data/log"
	return 1
}

# One function for each server: starts it, fills it, and sets pprof to where its
# profiles are and target to what gets the load.

start_prometheus() {
	printf 'global: {scrape_interval: 5s}\nscrape_configs:\n- job_name: self\n  static_configs: [{targets: ["127.0.0.1:%s"]}]\n' "$port1" >"$data/p.yml"
	history >"$data/history"
	"$root/usr/bin/promtool" tsdb create-blocks-from openmetrics "$data/history" "$data/db" >"$data/promtool.log" 2>&1
	run "http://127.0.0.1:$port1/-/ready" "$root/usr/bin/prometheus" --config.file="$data/p.yml" --storage.tsdb.path="$data/db" \
		--web.listen-address="127.0.0.1:$port1"
}

history() { # three hours of a shop's metrics, as OpenMetrics text
	awk -v now="$(date +%s)" 'BEGIN {
		print "# TYPE shop_requests counter"
		for (t = now - 10800; t < now; t += 15) for (i = 0; i < 10; i++) for (p = 0; p < 12; p++)
			printf "shop_requests_total{pod=\"pod-%d\",path=\"/p%d\",code=\"%d\"} %d %d\n", i, p, p % 4 ? 200 : 500, (t - now + 10800) * (p + i + 1), t
		print "# TYPE shop_latency_seconds histogram"
		for (t = now - 10800; t < now; t += 15) for (i = 0; i < 6; i++) for (b = 1; b <= 10; b++)
			printf "shop_latency_seconds_bucket{pod=\"pod-%d\",path=\"/p%d\",le=\"%s\"} %d %d\n", i, i, b < 10 ? b / 10 : "+Inf", (t - now + 10800) * b, t
		print "# EOF"
	}'
}

start_etcd() {
	run "$target/health" "$root/usr/bin/etcd" --enable-pprof --data-dir "$data/etcd" --listen-client-urls "$target" \
		--advertise-client-urls "$target" --listen-peer-urls "http://127.0.0.1:$port2" \
		--initial-advertise-peer-urls "http://127.0.0.1:$port2" --initial-cluster "default=http://127.0.0.1:$port2"
	printf '2000 POST /v3/kv/put {"key":"{{b64 (printf "orders/%%04d" (rand 2000))}}","value":"{{b64 (text 400)}}"}' |
		"$tmp/load" -for 2s "$target" >/dev/null
}

start_caddy() {
	mkdir -p "$data/www/files"
	{ echo '<html><body>'; seq -f '<p>Line %g of a page that compresses well.</p>' 2000; echo '</body></html>'; } >"$data/www/index.html"
	printf '<html><body>{{range $i, $x := (splitList "," "a,b,c,d,e")}}<p>{{$i}} {{$x | upper}} {{now | date "2006-01-02"}}</p>{{end}}{{include "index.html"}}</body></html>' >"$data/www/page.html"
	head -c 3000000 /dev/urandom >"$data/www/big.bin"
	for i in $(seq 100); do echo "$i" >"$data/www/files/f$i.txt"; done
	cat >"$data/Caddyfile" <<-END
		{
			admin 127.0.0.1:$port2
			auto_https off
		}
		http://127.0.0.1:$port1 {
			root * $data/www
			encode gzip
			templates /page.html
			reverse_proxy /api/* 127.0.0.1:$port3
			file_server browse
		}
		http://127.0.0.1:$port3 {
			header Content-Type application/json
			respond "{\"order\": \"{uri}\", \"items\": [1, 2, 3]}"
		}
	END
	pprof=http://127.0.0.1:$port2/debug/pprof
	run "$target/index.html" "$root/usr/bin/caddy" run --config "$data/Caddyfile" --adapter caddyfile
}

start_nats() {
	target=nats://127.0.0.1:$port1 pprof=http://127.0.0.1:$port2/debug/pprof
	run "http://127.0.0.1:$port3/varz" "$root/usr/sbin/nats-server" -a 127.0.0.1 -p "$port1" --profile "$port2" -m "$port3"
}

start_alertmanager() {
	# Debian's build reads its templates from there, whatever is configured.
	[ -e /usr/share/prometheus/alertmanager ] || {
		[ -d /usr/share/prometheus ] || mkdir "${made:=/usr/share/prometheus}"
		ln -s "$root/usr/share/prometheus/alertmanager" /usr/share/prometheus/alertmanager
		link=/usr/share/prometheus/alertmanager
	}
	printf 'route: {receiver: nobody, group_by: [alertname]}\nreceivers: [{name: nobody}]\n' >"$data/a.yml"
	run "$target/-/ready" "$root/usr/bin/prometheus-alertmanager" --config.file="$data/a.yml" --storage.path="$data/am" \
		--web.listen-address="127.0.0.1:$port1" --cluster.listen-address=
}

start_influxdb() {
	cat >"$data/i.conf" <<-END
		reporting-disabled = true
		bind-address = "127.0.0.1:$port2"
		[meta]
		dir = "$data/meta"
		[data]
		dir = "$data/data"
		wal-dir = "$data/wal"
		[http]
		bind-address = "127.0.0.1:$port1"
		log-enabled = false
	END
	run "$target/ping" "$root/usr/bin/influxd" -config "$data/i.conf"
	curl -sf -o "$data/created" -d 'q=CREATE DATABASE shop' "$target/query"
}

start_victoria_metrics() {
	run "$target/health" "$root/usr/bin/victoria-metrics" -storageDataPath "$data/vm" -httpListenAddr "127.0.0.1:$port1" -retentionPeriod 1
}

start_registry() {
	cat >"$data/r.yml" <<-END
		version: 0.1
		log: {level: error}
		storage: {cache: {blobdescriptor: inmemory}, filesystem: {rootdirectory: $data/images}}
		http: {addr: "127.0.0.1:$port1", secret: load, debug: {addr: "127.0.0.1:$port2"}}
	END
	pprof=http://127.0.0.1:$port2/debug/pprof
	run "$target/v2/" "$root/usr/bin/docker-registry" serve "$data/r.yml"
	head -c 300000 /dev/urandom >"$data/layer"
	echo '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers"}}' >"$data/config"
	for blob in layer config; do
		at=$(curl -sf -o "$data/begun" -D - -X POST "$target/v2/shop/api/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
		sum=$(sha256sum <"$data/$blob" | cut -d' ' -f1)
		curl -sf -o "$data/put" -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$data/$blob" "$at&digest=sha256:$sum"
		eval "$blob=sha256:$sum"
	done
	for i in $(seq 0 19); do
		printf '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":"%s"},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":300000,"digest":"%s"}]}' \
			"$(wc -c <"$data/config")" "$config" "$layer" |
			curl -sf -o "$data/put" -X PUT -H 'Content-Type: application/vnd.docker.distribution.manifest.v2+json' --data-binary @- "$target/v2/shop/api/manifests/v$i"
	done
	mark=@LAYER@ value=$layer
}

start_syncthing() {
	mkdir -p "$data/Sync"
	for d in $(seq 20); do mkdir -p "$data/Sync/d$d"; for f in $(seq 20); do echo "$d $f" >"$data/Sync/d$d/f$f.txt"; done; done
	env HOME="$data" "$root/usr/bin/syncthing" generate --home="$data/st" --skip-port-probing >"$data/generate.log" 2>&1
	# Nobody outside is to hear of it, and nobody is to be asked.
	sed -i -e "s#<listenAddress>.*<#<listenAddress>tcp://127.0.0.1:$port3<#" -e 's#Enabled>true<#Enabled>false<#' \
		-e 's#<urAccepted>.*<#<urAccepted>-1<#' -e 's#<autoUpgradeIntervalH>.*<#<autoUpgradeIntervalH>0<#' "$data/st/config.xml"
	pprof=http://127.0.0.1:$port2/debug/pprof
	run "$target/" env STNOUPGRADE=1 STPROFILER="127.0.0.1:$port2" "$root/usr/bin/syncthing" serve --home="$data/st" \
		--no-browser --no-restart --gui-address="127.0.0.1:$port1" --gui-apikey=load
}

start_pushgateway() {
	run "$target/-/ready" "$root/usr/bin/prometheus-pushgateway" --web.listen-address="127.0.0.1:$port1"
}

start_node_exporter() {
	run "$target/" "$root/usr/bin/prometheus-node-exporter" --web.listen-address="127.0.0.1:$port1" --web.disable-exporter-metrics
}

start_openfga() {
	pprof=http://127.0.0.1:$port2/debug/pprof
	run "$target/healthz" "$root/usr/bin/openfga" run --datastore-engine memory --http-addr "127.0.0.1:$port1" --grpc-addr "127.0.0.1:$port3" \
		--profiler-enabled --profiler-addr "127.0.0.1:$port2" --playground-enabled=false --metrics-enabled=false --log-level error
	store=$(curl -sf -d '{"name":"shop"}' "$target/stores" | sed 's/.*"id":"\([^"]*\)".*/\1/')
	curl -sf -o "$data/model" -d '{"schema_version":"1.1","type_definitions":[{"type":"user"},{"type":"document",
		"relations":{"owner":{"this":{}},"viewer":{"union":{"child":[{"this":{}},{"computedUserset":{"relation":"owner"}}]}}},
		"metadata":{"relations":{"owner":{"directly_related_user_types":[{"type":"user"}]},"viewer":{"directly_related_user_types":[{"type":"user"}]}}}}]}' \
		"$target/stores/$store/authorization-models"
	for user in $(seq 0 99); do
		curl -sf -o "$data/tuple" -d "{\"writes\":{\"tuple_keys\":[{\"user\":\"user:u$user\",\"relation\":\"viewer\",\"object\":\"document:d$((user * 5))\"}]}}" "$target/stores/$store/write"
	done
	mark=@STORE@ value=$store
}

measure() { # NAME
	server=$1 data=$tmp/$1 mark=@NONE@ value=@NONE@
	[ -f "scripts/real/$server.load" ] || [ "$server" = nats ] || { echo "real: $server: want one of $all"; return 1; }
	unpack "$(package "$server")" || return 1
	mkdir -p "$data"
	set -- $("$tmp/load" -free 3)
	port1=$1 port2=$2 port3=$3
	target=http://127.0.0.1:$port1
	pprof=$target/debug/pprof
	"start_$(echo "$server" | tr - _)" || return 1
	if [ "$server" = nats ]; then : >"$data/load"; else sed "s/$mark/$value/" "scripts/real/$server.load" >"$data/load"; fi
	echo "$server: load for $((window + 6)) s"
	"$tmp/load" -for $((window + 6))s -c 3 "$target" <"$data/load" >"$data/sent" &
	loader=$!
	sleep 3
	# The report is as a user would get it: one address gives all kinds of profiles.
	draw=cpu
	[ "$server" != registry ] || draw=allocs
	"$tmp/profbot" analyze --window "${window}s" --service "$server" --draw "$draw" --png "$data/flame.png" "$pprof" >"$data/report" 2>"$data/remarks" ||
		{ cat "$data/remarks"; wait "$loader" || :; stop; return 1; }
	wait "$loader"
	{
		echo "\$ profbot analyze --window ${window}s --service $server http://HOST:PORT/debug/pprof"
		echo
		sed "s/127\.0\.0\.1:[0-9]*/HOST:PORT/g; s/[[:space:]]*\$//" "$data/report"
		echo
		echo "The load ($(version "$(package "$server")")):"
		sed "s/$value/$mark/" "$data/sent"
	} >"docs/real/$server.txt"
	case $server in prometheus | etcd | registry) cp "$data/flame.png" "docs/real/$server.png" ;; esac
	[ -z "${OUT-}" ] || keep
	stop
}

version() { # PACKAGE
	[ "$1" != openfga ] || { echo "$openfga" && return; }
	dpkg-deb -W --showformat='${Package} ${Version}' "$tmp/deb/$1"_*.deb
}

keep() { # a second run of the same load, its profiles in a folder, for other tools
	folder=$OUT/$server
	rm -rf "$folder" && mkdir -p "$folder"
	"$tmp/load" -for $((window + 3))s -c 3 "$target" <"$data/load" >"$folder/load" &
	loader=$!
	for kind in allocs-before mutex-before block-before cpu goroutine mutex-after block-after allocs-after; do
		case $kind in cpu) at="profile?seconds=$window" ;; *) at=${kind%-*} ;; esac
		curl -sf -o "$folder/$kind.pb.gz" "$pprof/$at"
	done
	wait "$loader"
	"$tmp/profbot" analyze --service "$server" --json "$folder/report.json" --html "$folder/flame.html" "$folder" >"$folder/report.txt"
}

quote() { # NAME: the report into its place in the document, without what is small in it
	awk -v report="docs/real/$1.txt" -v name="$1" '
		$0 == "<!-- report " name " -->" {
			print
			print "```"
			while ((getline line <report) > 0 && line !~ /^(The load|Note:)/) {
				if (line ~ /^ENDPOINT/) { cpu = index(line, " CPU ") + 1; rows = 1 }
				if (line == "") rows = 0
				if (rows && substr(line, cpu, 2) ~ /^[01][.]/) continue
				place = line ~ /^    [^ ]/ ? place + 1 : 0
				if (place > 1 && line + 0 < 25) continue
				if (line ~ /^service /) { blank = 0; continue }
				if (line != "" && blank) print ""
				blank = line == ""
				if (!blank) print line
			}
			print "```"
			skip = 1
		}
		$0 == "<!-- end -->" { skip = 0 }
		!skip' docs/real-servers.md >"$tmp/document" && cp "$tmp/document" docs/real-servers.md
}

missed=
for name in ${*:-$all}; do
	if measure "$name"; then quote "$name"; else stop && missed="$missed $name"; fi
done
[ -z "$missed" ] || { echo "real: not measured:$missed"; exit 1; }
echo "real: the reports are rewritten; see whether the words around them in docs/real-servers.md still hold"
