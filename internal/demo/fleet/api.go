package fleet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// liveAPI serves a pod's routes. Two of them decode cached bytes in every
// request, until the fix is rolled out; the others spend their CPU elsewhere.
type liveAPI struct {
	catalog *catalog
	lists   *lists
	fixed   atomic.Bool // the lists come from lists: the fix is rolled out
}

// routes mounts the API. With labels every request carries the profiler label
// "endpoint"; it is set inside the mux, where the pattern is known.
func (a *liveAPI) routes(labels bool) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /live/list": a.LiveList, "GET /gift/list": a.GiftList, "GET /user/{id}": a.User, "POST /chat": a.Chat,
	} {
		if labels {
			mux.Handle(pattern, pprofserve.Label(h))
		} else {
			mux.Handle(pattern, h)
		}
	}
	return mux
}

// pageSize is how many rooms or gifts a list replies with.
const pageSize = 20

// LiveList replies with a page of the rooms that fit the viewer best.
func (a *liveAPI) LiveList(w http.ResponseWriter, r *http.Request) {
	rooms, err := a.rooms(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, page(bestRooms(rooms), r))
}

func (a *liveAPI) rooms(ctx context.Context) ([]room, error) {
	if a.fixed.Load() {
		return a.lists.rooms.Get(ctx, liveKey)
	}
	raw, err := a.catalog.load(ctx, liveKey)
	if err != nil {
		return nil, err
	}
	var rooms []room
	err = json.Unmarshal(raw, &rooms)
	return rooms, err
}

// GiftList replies with a page of the gifts that sell best.
func (a *liveAPI) GiftList(w http.ResponseWriter, r *http.Request) {
	gifts, err := a.gifts(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, page(bestGifts(gifts), r))
}

func (a *liveAPI) gifts(ctx context.Context) ([]gift, error) {
	if a.fixed.Load() {
		return a.lists.gifts.Get(ctx, giftKey)
	}
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

// post is one chat message.
type post struct {
	User int64    `json:"user"`
	Text string   `json:"text"`
	At   int64    `json:"at"`
	Tags []string `json:"tags"`
}

// Chat decodes its request's body, each time another one: no cache could help.
func (a *liveAPI) Chat(w http.ResponseWriter, r *http.Request) {
	var batch struct {
		Room     int64  `json:"room"`
		Messages []post `json:"messages"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&batch); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	blocked := 0
	for _, m := range batch.Messages {
		if offends(m.Text) {
			blocked++
		}
	}
	reply(w, map[string]int{"posted": len(batch.Messages) - blocked, "blocked": blocked})
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

// bestRooms sorts the rooms that somebody watches, the most attractive first.
func bestRooms(rooms []room) []room {
	rooms = slices.DeleteFunc(rooms, func(r room) bool { return r.Viewers == 0 })
	score := make(map[int64]float64, len(rooms))
	for _, r := range rooms {
		score[r.ID] = math.Log1p(float64(r.Viewers))*r.Host.Rating + math.Sqrt(float64(r.Likes))/100
	}
	slices.SortFunc(rooms, func(a, b room) int { return cmp.Compare(score[b.ID], score[a.ID]) })
	return rooms
}

// bestGifts sorts the gifts that were ever sent, the best sold first.
func bestGifts(gifts []gift) []gift {
	gifts = slices.DeleteFunc(gifts, func(g gift) bool { return g.Sold == 0 })
	slices.SortFunc(gifts, func(a, b gift) int { return cmp.Compare(b.Sold*b.Price, a.Sold*a.Price) })
	return gifts
}

// page is the part of a list that the request's parameter page asks for: 1 is
// the first, and stands for whatever is no number.
func page[T any](list []T, r *http.Request) []T {
	n, _ := strconv.Atoi(r.URL.Query().Get("page"))
	from := min(min(max(n-1, 0), len(list))*pageSize, len(list))
	return list[from:min(from+pageSize, len(list))]
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
