// The module tools pins the programs that check this repository. It is apart
// from the product's module, so that none of their dependencies reaches it.
module github.com/profbot/profbot/tools

go 1.26.0
