module github.com/profbot/profbot/internal/analysis/lab/old

go 1.13

require github.com/coocood/freecache v1.1.1
