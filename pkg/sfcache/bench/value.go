package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
)

// List is the value that every contender caches: a list of live streams, as a
// service sends it to its pages.
type List struct {
	ID      string `json:"id" msgpack:"id"`
	Region  string `json:"region" msgpack:"region"`
	Updated int64  `json:"updated" msgpack:"updated"`
	Items   []Item `json:"items" msgpack:"items"`
}

// Item is one stream; about 250 bytes of JSON.
type Item struct {
	ID      int64    `json:"id" msgpack:"id"`
	Title   string   `json:"title" msgpack:"title"`
	Owner   string   `json:"owner" msgpack:"owner"`
	Thumb   string   `json:"thumb" msgpack:"thumb"`
	Started string   `json:"started" msgpack:"started"`
	Rank    int      `json:"rank" msgpack:"rank"`
	Viewers int64    `json:"viewers" msgpack:"viewers"`
	Score   float64  `json:"score" msgpack:"score"`
	Live    bool     `json:"live" msgpack:"live"`
	Tags    []string `json:"tags" msgpack:"tags"`
}

var words = []string{"river", "amber", "north", "signal", "paper", "orbit", "velvet", "copper", "meadow", "static", "harbor", "lantern"}

// newList makes a list whose JSON has at least n bytes, always the same one.
func newList(n int) *List {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	word := func() string { return words[rng.IntN(len(words))] }
	l := &List{ID: "list:000000", Region: "eu", Updated: 1767225600}
	for have := 0; have < n-60; {
		i := len(l.Items)
		it := Item{
			ID:      1_000_000 + int64(i),
			Title:   fmt.Sprintf("%s %s and the %s %s", word(), word(), word(), word()),
			Owner:   word() + "_" + word(),
			Thumb:   fmt.Sprintf("https://img.example.com/%08x.jpg", rng.Uint32()),
			Started: fmt.Sprintf("2026-01-%02dT%02d:00:00Z", 1+rng.IntN(28), rng.IntN(24)),
			Rank:    i + 1, Viewers: rng.Int64N(100_000), Score: float64(rng.IntN(10_000)) / 100, Live: rng.IntN(2) == 0,
			Tags: []string{word(), word()},
		}
		b, err := json.Marshal(it)
		if err != nil {
			panic(err) // it has nothing that JSON cannot say
		}
		have += len(b) + 1
		l.Items = append(l.Items, it)
	}
	return l
}

// clone is a copy that shares nothing that can be changed, made as a service
// would that cares: all tags lie in one array.
func (l *List) clone() *List {
	c := *l
	c.Items = slices.Clone(l.Items)
	n := 0
	for i := range l.Items {
		n += len(l.Items[i].Tags)
	}
	tags := make([]string, 0, n)
	for i := range c.Items {
		from := len(tags)
		tags = append(tags, l.Items[i].Tags...)
		c.Items[i].Tags = tags[from:len(tags):len(tags)]
	}
	return &c
}

// equal says whether l is the list of key: the whole of it.
func (l *List) equal(key string, want *List) bool {
	return l != nil && l.ID == key && l.Region == want.Region && l.Updated == want.Updated &&
		slices.EqualFunc(l.Items, want.Items, func(a, b Item) bool {
			return slices.Equal(a.Tags, b.Tags) && a.ID == b.ID && a.Title == b.Title && a.Owner == b.Owner && a.Thumb == b.Thumb &&
				a.Started == b.Started && a.Rank == b.Rank && a.Viewers == b.Viewers && a.Score == b.Score && a.Live == b.Live
		})
}

// keyName is the i-th key.
func keyName(i int) string { return fmt.Sprintf("list:%06d", i) }
