package sfcache_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// list is what the examples cache.
type list struct {
	Name  string
	Items []string
}

// database is where the examples' lists really are.
func database(_ context.Context, key string) (*list, error) {
	if !strings.HasPrefix(key, "live:") {
		return nil, fmt.Errorf("no list %s: %w", key, sfcache.ErrNotFound)
	}
	fmt.Println("loading", key)
	return &list{Name: key, Items: []string{"one", "two"}}, nil
}

func newLists() *sfcache.Cache[*list] {
	c, err := sfcache.New(sfcache.Config[*list]{Name: "lists", TTL: time.Minute, Load: database})
	if err != nil {
		panic(err)
	}
	return c
}

func ExampleNew() {
	lists, err := sfcache.New(sfcache.Config[*list]{
		Name:        "lists",
		TTL:         time.Minute,
		NegativeTTL: time.Second,
		Stale:       10 * time.Second,
		Hold:        sfcache.Hold[*list]{TTL: 100 * time.Millisecond},
		Local:       sfcache.Local{Bytes: 8 << 20, MaxValue: 4 << 10},
		Load:        database,
	})
	if err != nil {
		panic(err)
	}
	defer lists.Close()
	for range 2 {
		l, err := lists.Get(context.Background(), "live:eu")
		fmt.Println(l.Items, err)
	}
	// Output:
	// loading live:eu
	// [one two] <nil>
	// [one two] <nil>
}

func ExampleNew_wrong() {
	_, err := sfcache.New(sfcache.Config[*list]{
		TTL:   time.Second,
		Local: sfcache.Local{Bytes: 256 << 20, MaxValue: 500 << 10},
	})
	fmt.Println(err)
	// Output:
	// sfcache: Local.MaxValue is 512000, and a freecache of 268435456 bytes refuses entries over 262100: set Local.Bytes to at least 524333056
}

func ExampleCache_Get() {
	lists := newLists()
	defer lists.Close()
	l, err := lists.Get(context.Background(), "live:eu")
	fmt.Println(l.Name, err)
	_, err = lists.Get(context.Background(), "dead:eu")
	fmt.Println(errors.Is(err, sfcache.ErrNotFound), err)
	// Output:
	// loading live:eu
	// live:eu <nil>
	// true no list dead:eu: sfcache: not found
}

// What a service did with group.Do and a closure.
func ExampleCache_GetWith() {
	lists := newLists()
	defer lists.Close()
	request := struct{ region string }{"eu"}
	l, err := lists.GetWith(context.Background(), "live:eu", func(context.Context, string) (*list, error) {
		return &list{Name: "made for " + request.region}, nil
	})
	fmt.Println(l.Name, err)
	// Output: made for eu <nil>
}

func ExampleCache_GetMany() {
	lists := newLists()
	defer lists.Close()
	ctx := context.Background()
	if _, err := lists.Get(ctx, "live:eu"); err != nil {
		panic(err)
	}
	got, err := lists.GetMany(ctx, []string{"live:eu", "live:us", "dead:eu"})
	fmt.Println(len(got), got["live:us"].Name, err)
	// Output:
	// loading live:eu
	// loading live:us
	// 2 live:us <nil>
}

// Write to the source first, then tell the cache.
func ExampleCache_Set() {
	lists := newLists()
	defer lists.Close()
	ctx := context.Background()
	// db.Save(ctx, l)
	if err := lists.Set(ctx, "live:eu", &list{Name: "new"}); err != nil {
		panic(err)
	}
	l, err := lists.Get(ctx, "live:eu")
	fmt.Println(l.Name, err)
	// Output: new <nil>
}

func ExampleCache_Delete() {
	lists := newLists()
	defer lists.Close()
	ctx := context.Background()
	for range 2 {
		if _, err := lists.Get(ctx, "live:eu"); err != nil {
			panic(err)
		}
		// db.Remove(ctx, ...)
		if err := lists.Delete(ctx, "live:eu", "live:us"); err != nil {
			panic(err)
		}
	}
	// Output:
	// loading live:eu
	// loading live:eu
}

func ExampleCache_Refresh() {
	lists := newLists()
	defer lists.Close()
	ctx := context.Background()
	for range 2 {
		l, err := lists.Refresh(ctx, "live:eu")
		fmt.Println(l.Name, err)
	}
	// Output:
	// loading live:eu
	// live:eu <nil>
	// loading live:eu
	// live:eu <nil>
}

func ExampleCache_Peek() {
	lists := newLists()
	defer lists.Close()
	_, ok := lists.Peek("live:eu")
	fmt.Println(ok)
	// Output: false
}

func ExampleCache_Stats() {
	lists := newLists()
	defer lists.Close()
	for range 100 {
		if _, err := lists.Get(context.Background(), "live:eu"); err != nil {
			panic(err)
		}
	}
	s := lists.Stats()
	fmt.Println(s.Loads, s.HoldHits, s.HeldValues)
	// Output:
	// loading live:eu
	// 1 99 1
}

func ExampleCache_Close() {
	lists := newLists()
	fmt.Println(lists.Close())
	_, err := lists.Get(context.Background(), "live:eu")
	fmt.Println(err)
	// Output:
	// <nil>
	// sfcache: closed
}

// Values are shared; a test finds who changes them.
func ExampleCache_CheckShared() {
	lists, err := sfcache.New(sfcache.Config[*list]{TTL: time.Minute, Load: database, SharedCheck: true})
	if err != nil {
		panic(err)
	}
	defer lists.Close()
	l, err := lists.Get(context.Background(), "live:eu")
	if err != nil {
		panic(err)
	}
	l.Items[0] = "mine"
	fmt.Println(lists.CheckShared())
	// Output:
	// loading live:eu
	// sfcache: key "live:eu": a caller changed the shared value: copy it first, or set Config.Clone
}

// With Clone every caller may do as it likes.
func ExampleConfig_clone() {
	lists, err := sfcache.New(sfcache.Config[*list]{
		TTL: time.Minute, Load: database,
		Clone: func(l *list) *list { return &list{l.Name, append([]string(nil), l.Items...)} },
	})
	if err != nil {
		panic(err)
	}
	defer lists.Close()
	for range 2 {
		l, err := lists.Get(context.Background(), "live:eu")
		if err != nil {
			panic(err)
		}
		fmt.Println(l.Items[0])
		l.Items[0] = "mine"
	}
	// Output:
	// loading live:eu
	// one
	// one
}

// The flight alone: callers that come together share one call.
func ExampleGroup_Do() {
	var group sfcache.Group[*list]
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // for this caller's patience
	defer cancel()
	l, err := group.Do(ctx, "live:eu", func(ctx context.Context) (*list, error) { return database(ctx, "live:eu") })
	fmt.Println(l.Name, err)
	_, err = group.Do(ctx, "live:eu", func(context.Context) (*list, error) { panic("no such column") })
	var p *sfcache.PanicError
	fmt.Println(errors.As(err, &p), p.Value)
	// Output:
	// loading live:eu
	// live:eu <nil>
	// true no such column
}

// Any pair of functions with the usual signatures is a codec.
func ExampleCodecOf() {
	marshal := func(v any) ([]byte, error) { // as msgpack.Marshal
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.Bytes(), err
	}
	unmarshal := func(b []byte, v any) error { return gob.NewDecoder(bytes.NewReader(b)).Decode(v) }

	codec := sfcache.CodecOf[list](marshal, unmarshal)
	b, err := codec.Encode(list{Name: "live:eu"})
	if err != nil {
		panic(err)
	}
	l, err := codec.Decode(b)
	fmt.Println(l.Name, err)
	// Output: live:eu <nil>
}

func ExampleJSON() {
	b, err := sfcache.JSON[list]().Encode(list{Name: "live:eu"})
	fmt.Println(string(b), err)
	// Output: {"Name":"live:eu","Items":null} <nil>
}

// A codec of its own, as protobuf needs: Decode makes the value.
func ExampleCodec() {
	codec := sfcache.Codec[*list]{
		Encode: func(l *list) ([]byte, error) { return []byte(l.Name + "\n" + strings.Join(l.Items, "\n")), nil },
		Decode: func(b []byte) (*list, error) {
			lines := strings.Split(string(b), "\n") // a copy: b is used again
			return &list{lines[0], lines[1:]}, nil
		},
	}
	b, err := codec.Encode(&list{"live:eu", []string{"one", "two"}})
	if err != nil {
		panic(err)
	}
	l, err := codec.Decode(b)
	fmt.Println(l.Items, err)
	// Output: [one two] <nil>
}

func ExampleSizeOf() {
	// A pointer, the list's five words in 48 bytes, 8 for the name, and two
	// strings of two words and 8 bytes each.
	fmt.Println(sfcache.SizeOf(&list{Name: "live:eu", Items: []string{"one", "two"}}))
	// Output: 112
}
