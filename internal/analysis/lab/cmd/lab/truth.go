package main

import (
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
)

// sources says where each endpoint's decoded bytes come from, in the truth's words.
var sources = map[string]string{
	"live": "cache (go-redis GET)", "gift": "cache (coocood/freecache)", "shop": "cache (memcached, generic helper)",
	"rank":   "HTTP reply of an upstream (io.ReadAll then json.Unmarshal)",
	"fanout": "cache (go-redis GET) inside goroutines spawned by the handler (errgroup)", "user": "none", "export": "none",
	"chat": "request body", "rows": "database (database/sql, modernc sqlite)", "bolt": "database (bbolt)", "rpc": "gRPC reply",
	"stream": "HTTP reply of an upstream (streamed)", "post": "request body (io.ReadAll then json.Unmarshal)",
	"events": "message queue", "ws": "request body (WebSocket message)",
}

// markers are the service's functions by endpoint.
var markers = map[string]string{
	"live": "Live", "gift": "Gift", "shop": "Shop", "rank": "Rank", "fanout": "Fanout", "user": "User", "export": "Export", "chat": "Chat",
	"rows": "Rows", "bolt": "InBolt", "rpc": "Remote", "stream": "Stream", "post": "Post", "events": "OnEvent", "ws": "OnMessage",
}

// noShare are endpoints where the clocks and the decoding do not meet: a reply that is decoded while it is read,
// and a gRPC reply, decoded once by the client and once by the handler.
var noShare = []string{"rpc", "stream"}

const about = "Ground truth by construction, as in the corpus: *_cpu_s are thread CPU seconds summed inside the handler around each segment during the profile window. " +
	"Where decode_share is missing, something is decoded outside the clocks."

// addTruth adds one run to a truth file.
func addTruth(file, name, router, codec string, r running, t *taken) error {
	truth := map[string]any{"about": about, "go": runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	if b, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, &truth); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	endpoints := map[string]any{}
	for e, pattern := range r.Handlers {
		a, b := t.Before[e], t.After[e]
		get, dec, app, enc := secs(b.Get-a.Get), secs(b.Decode-a.Decode), secs(b.App-a.App), secs(b.Encode-a.Encode)
		total := get + dec + app + enc
		m := map[string]any{
			"get_cpu_s": get, "decode_cpu_s": dec, "app_cpu_s": app, "encode_cpu_s": enc, "handler_cpu_s": total, "requests": b.Requests - a.Requests,
			"decode_source": sources[e], "expected_handler_regexp": pattern,
			"true_endpoint_marker_frame": "github.com/profbot/profbot/internal/analysis/lab/svc.(*API)." + markers[e],
		}
		if total > 0 && !slices.Contains(r.NoShare, e) && !slices.Contains(noShare, e) {
			m["decode_share"], m["encode_share"] = dec/total, enc/total
		}
		endpoints[e] = m
	}
	cpu := name + ".cpu.pb.gz"
	var profiles []any
	if old, ok := truth["profiles"].([]any); ok {
		profiles = slices.DeleteFunc(old, func(p any) bool { m, ok := p.(map[string]any); return ok && m["cpu"] == cpu })
	}
	truth["profiles"] = append(profiles, map[string]any{
		"cpu": cpu, "allocs_before": name + ".allocs0.pb.gz", "allocs_after": name + ".allocs1.pb.gz", "goroutine": name + ".goroutine.pb.gz",
		"router": router, "codec": codec, "labels": "", "endpoints": endpoints, "wall_s": t.Wall, "process_cpu_s": t.Process,
	})
	b, err := json.MarshalIndent(truth, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644) //nolint:gosec // for all to read
}

func secs(nanos int64) float64 { return float64(nanos) / 1e9 }
