module github.com/profbot/profbot/pkg/sfcache/sfredis

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/profbot/profbot/pkg/sfcache v0.0.0
	github.com/redis/go-redis/v9 v9.23.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/coocood/freecache v1.2.7 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

replace github.com/profbot/profbot/pkg/sfcache => ../
