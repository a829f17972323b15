# make help lists the targets. Everything is set up by the targets themselves:
# tools are pinned in tools/go.mod, servers that tests want are found or installed.

SHELL := /bin/sh
# The root, what services import, and what profbot uses of it: these are in go.work.
MODULES := . pkg/pprofserve pkg/sfcache pkg/sfcache/sfredis
# Not in go.work, since what they require would raise versions in the binary.
APART := pkg/sfcache/sfprom pkg/pprofserve/pprofgin pkg/pprofserve/pprofecho pkg/pprofserve/pprofecho5 \
	pkg/pprofserve/pprofchi pkg/pprofserve/pprofgrpc pkg/pprofserve/interop
# Checks of deploy/: tests of files, which the race detector has nothing to see in, and
# which go test's cache knows nothing of: they run each time.
CHECKS := deploy/check
FUZZTIME ?= 20s
TRUTH ?= internal/analysis/testdata/corpus/truth.json
TOOL := GOWORK=off go tool -modfile=tools/go.mod

.PHONY: help test check-deploy lint fmt build demo bolt storm bench-ack slack-types pictures eval gallery real fuzz bench bench-analyze bench-sfcache bench-pprofserve golden vuln setup clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-13s %s\n", $$1, $$2}'

test: setup ## Run every test of all modules with the race detector
	go test -race -timeout 20m work
	@for m in $(APART); do (cd $$m && GOWORK=off go test -race -timeout 5m ./...) || exit 1; done
	@$(MAKE) --no-print-directory check-deploy

check-deploy: ## Check manifests, chart, dashboards and Terraform in deploy/
	@for m in $(CHECKS); do (cd $$m && GOWORK=off go test -count=1 -timeout 5m ./...) || exit 1; done

setup:
	@sh scripts/setup.sh

lint: ## Run golangci-lint, go vet and the format check
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet work
	@tools=$$PWD/tools/go.mod; for m in $(MODULES) $(APART) $(CHECKS) pkg/sfcache/bench; do echo "golangci-lint in $$m"; \
		(cd $$m && GOWORK=off go vet ./... && GOWORK=off go tool -modfile=$$tools golangci-lint run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done

fmt: ## Format all Go files
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

build: ## Build bin/profbot, one static file
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/profbot ./cmd/profbot

demo: ## Run the whole loop on this machine
	go run ./cmd/profbot demo

storm: build ## 500 pods, 50 alerts at once: memory, budget and messages against the bar; ARGS="-window 1s"
	go run ./scripts/storm -exe bin/profbot $(ARGS)

bench-ack: build ## Commands in Slack while 20 CPU profiles run: p99 of the acknowledgement against the bar; ARGS="-for 20s"
	go run ./scripts/ack -exe bin/profbot $(ARGS)

real: ## Profile real Go servers under load, rewrite docs/real; NAMES="etcd caddy"
	@sh scripts/real.sh $(NAMES)

slack-types: ## Hold every golden message and view to Slack's published types; needs node
	@command -v npm >/dev/null || { echo "slack-types: node and npm are missing"; exit 1; }
	@cd scripts/slacktypes && npm ci --silent --no-audit --no-fund && node check.js

pictures: ## Make the pictures in docs/ from a run of the demo
	@sh scripts/pictures.sh

eval: ## Hold the analysis to profiles with known truth; TRUTH=file, ARGS="-v" for the misses
	go run ./internal/analysis/eval -truth $(TRUTH) $(ARGS)

gallery: ## Draw the pictures of docs/gallery
	go run ./internal/flame/gallery

bolt: ## Hold the decisions on Slack's requests to Slack's own Bolt, with node; ARGS=--write after a new version of it
	cd scripts/bolt && npm ci --no-audit --no-fund --silent && node judge.mjs $(ARGS)

fuzz: ## Fuzz every target for FUZZTIME each
	@for m in $(MODULES); do (cd $$m && go list ./...); done | while read -r pkg; do \
		for f in $$(go test -list '^Fuzz' "$$pkg" | grep '^Fuzz'); do \
			echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 3s "$$pkg" || exit 1; done; done

bench: ## Run the benchmarks
	go test -run '^$$' -bench . -benchmem work

bench-analyze: build ## Compare a report's time and memory with go tool pprof; ARGS=-check to fail below the bar
	go build -trimpath -o bin/bench-analyze ./internal/analysis/bench
	bin/bench-analyze $(ARGS)

bench-sfcache: ## Compare sfcache with other caches; ARGS="-quick" for a first look
	cd pkg/sfcache/bench && GOWORK=off go run . $(ARGS)

bench-pprofserve: ## Print what an endpoint label costs, beside other ways to set one
	cd pkg/pprofserve && go test -run '^$$' -bench 'Label$$|Do$$|Split' . && go test -run '^$$' -bench 'LabelCost|ProfileSize' -benchtime 1x -blocks 7 -length 10s .

golden: ## Rewrite golden files; look at the difference before you commit it
	go test ./internal/analysis ./internal/flame ./internal/config ./internal/slackbot/... ./internal/archtest ./internal/metrics ./pkg/sfcache/sfprom -update

vuln: ## Look for known vulnerabilities; VULNDB=file:///dir for a local database
	$(TOOL) govulncheck $(if $(VULNDB),-db $(VULNDB)) ./...

clean: ## Remove what make build and the demo leave
	rm -rf bin profbot-demo
