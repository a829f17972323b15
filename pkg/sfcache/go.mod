module github.com/profbot/profbot/pkg/sfcache

go 1.26.0
