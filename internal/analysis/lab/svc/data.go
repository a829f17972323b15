package svc

import (
	"fmt"
	"sort"
)

// Feed is what most endpoints decode: a few kilobytes.
type Feed struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Items []Item `json:"items"`
}

// Item is one entry of a feed.
type Item struct {
	ID    int64             `json:"id"`
	Name  string            `json:"name"`
	Price float64           `json:"price"`
	Tags  []string          `json:"tags"`
	Live  bool              `json:"live"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

// ChatMsg is what a client sends.
type ChatMsg struct {
	Room  string `json:"room"`
	Items []Item `json:"items"`
}

// NewFeed makes a feed of n items.
func NewFeed(n int) *Feed {
	f := &Feed{ID: "feed-7", Title: "What is on right now"}
	for i := range n {
		f.Items = append(f.Items, Item{
			ID: int64(i) * 7919, Name: fmt.Sprintf("streamer number %d with a name", i), Price: float64(i) * 1.37,
			Tags: []string{"music", "talk", fmt.Sprint("tag", i)}, Live: i%3 == 0, Attrs: map[string]string{"lang": "en", "city": fmt.Sprint("c", i)},
		})
	}
	return f
}

// Work is the application's own work on items: about a decode's worth.
//
//go:noinline
func Work(items []Item, rounds int) int {
	sum := 0
	for r := range rounds {
		order := make([]int, len(items))
		for i := range order {
			order[i] = i
		}
		sort.Slice(order, func(a, b int) bool { return score(items[order[a]], r) < score(items[order[b]], r) })
		if len(order) > 0 {
			sum += order[0]
		}
	}
	return sum
}

//go:noinline
func score(it Item, r int) uint32 {
	h := uint32(2166136261) + uint32(r)
	for i := range len(it.Name) {
		h = (h ^ uint32(it.Name[i])) * 16777619
	}
	return h
}
