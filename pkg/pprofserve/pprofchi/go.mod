module github.com/profbot/profbot/pkg/pprofserve/pprofchi

go 1.26.0

require (
	github.com/go-chi/chi/v5 v5.5.0
	github.com/profbot/profbot/pkg/pprofserve v0.0.0
)

replace github.com/profbot/profbot/pkg/pprofserve => ../
