module github.com/profbot/profbot/pkg/sfcache

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/coocood/freecache v1.2.7
	github.com/google/go-cmp v0.7.0
	golang.org/x/sync v0.24.0
)

require github.com/cespare/xxhash/v2 v2.1.2 // indirect
