module github.com/profbot/profbot/pkg/pprofserve

go 1.26.0
