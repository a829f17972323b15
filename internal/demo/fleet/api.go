package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"runtime/pprof"
	"slices"
	"strings"
)

// liveAPI serves a pod's routes. Two of them decode cached bytes in every
// request; the others spend their CPU elsewhere.
type liveAPI struct {
	catalog *catalog
}

// routes mounts the API. With labels every request carries the pprof label
// "endpoint"; it is set inside the mux, where the pattern is known.
func (a *liveAPI) routes(labels bool) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /live/list": a.LiveList, "GET /gift/list": a.GiftList, "GET /user/{id}": a.User, "POST /chat": a.Chat,
	} {
		if labels {
			h = labelled(h)
		}
		mux.HandleFunc(pattern, h)
	}
	return mux
}

func labelled(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		pprof.Do(r.Context(), pprof.Labels("endpoint", r.Pattern), func(ctx context.Context) {
			next(w, r.WithContext(ctx))
		})
	}
}

// LiveList replies with the rooms that fit the viewer best.
func (a *liveAPI) LiveList(w http.ResponseWriter, r *http.Request) {
	rooms, err := a.rooms(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, bestRooms(rooms, 20))
}

func (a *liveAPI) rooms(ctx context.Context) ([]room, error) {
	raw, err := a.catalog.load(ctx, liveKey)
	if err != nil {
		return nil, err
	}
	var rooms []room
	err = json.Unmarshal(raw, &rooms)
	return rooms, err
}

// GiftList replies with the gifts that sell best.
func (a *liveAPI) GiftList(w http.ResponseWriter, r *http.Request) {
	gifts, err := a.gifts(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, bestGifts(gifts, 30))
}

func (a *liveAPI) gifts(ctx context.Context) ([]gift, error) {
	raw, err := a.catalog.load(ctx, giftKey)
	if err != nil {
		return nil, err
	}
	var gifts []gift
	err = json.Unmarshal(raw, &gifts)
	return gifts, err
}

// User checks a user's token, which costs CPU and decodes nothing.
func (a *liveAPI) User(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	reply(w, map[string]string{"id": id, "proof": proof(id, 9000)})
}

// Chat decodes its request's body, each time another one: no cache could help.
func (a *liveAPI) Chat(w http.ResponseWriter, r *http.Request) {
	var post struct {
		Room     int64 `json:"room"`
		Messages []struct {
			User int64    `json:"user"`
			Text string   `json:"text"`
			At   int64    `json:"at"`
			Tags []string `json:"tags"`
		} `json:"messages"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&post); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	blocked := 0
	for _, m := range post.Messages {
		if offends(m.Text) {
			blocked++
		}
	}
	reply(w, map[string]int{"posted": len(post.Messages) - blocked, "blocked": blocked})
}

func reply(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // a client that went away is its business
}

func bestRooms(rooms []room, n int) []room {
	score := make(map[int64]float64, len(rooms))
	for _, r := range rooms {
		score[r.ID] = math.Log1p(float64(r.Viewers))*r.Host.Rating + math.Sqrt(float64(r.Likes))/100
	}
	slices.SortFunc(rooms, func(a, b room) int {
		switch {
		case score[a.ID] > score[b.ID]:
			return -1
		case score[a.ID] < score[b.ID]:
			return 1
		}
		return 0
	})
	return rooms[:min(n, len(rooms))]
}

func bestGifts(gifts []gift, n int) []gift {
	slices.SortFunc(gifts, func(a, b gift) int { return int(b.Sold*b.Price - a.Sold*a.Price) })
	return gifts[:min(n, len(gifts))]
}

// proof hashes id many times over, as a slow token check does.
func proof(id string, rounds int) string {
	sum := sha256.Sum256([]byte(id))
	for range rounds {
		sum = sha256.Sum256(sum[:])
	}
	return hex.EncodeToString(sum[:])
}

var offensive = []string{"spam", "scam", "buy followers", "free coins", "click here", "casino"}

func offends(text string) bool {
	text = strings.ToLower(text)
	for _, w := range offensive {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}
