# Millrace. `make help` lists the targets. Needs Go, make and git; infra's tests need Node.
.DEFAULT_GOAL := help
GO ?= go
export CGO_ENABLED := 0
BUILD := -trimpath -buildvcs=false -ldflags=-s
FUNCTIONS := newdata jobcompleted modelapproved runended snapshot startjob register
PIPELINES := $(wildcard pipelines/*/pipeline.yaml)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: build
build: functions ## build everything into bin/
	$(GO) build $(BUILD) -o bin/worker ./worker
	$(GO) build $(BUILD) -o bin/millrace ./cmd/millrace
	rm -rf bin/assembly && cp -r infra/stack/snapshot bin/assembly

.PHONY: functions
functions: ## build the Lambda functions (GOOS and GOARCH choose for what)
	$(GO) build $(BUILD) -tags lambda.norpc -o bin/bootstraps/ $(FUNCTIONS:%=./functions/%)
	@for f in $(FUNCTIONS); do \
	  rm -rf bin/functions/$$f && mkdir -p bin/functions/$$f && ln -f bin/bootstraps/$$f bin/functions/$$f/bootstrap && \
	  for p in $(PIPELINES); do mkdir -p bin/functions/$$f/$$(dirname $$p) && cp $$p bin/functions/$$f/$$p; done || exit 1; \
	done

.PHONY: run
run: build ## the whole loop on real data: upload, train, approve, score
	@bin/millrace demo

.PHONY: test
test: build ## everything that can be tested offline
	$(GO) vet $(TESTED)
	$(GO) test -timeout 30m $(TESTED)
	@test -n "$(NODE)" || echo "NOT TESTED: infra. CDK's constructs run in Node, and there is no node on the PATH (https://nodejs.org, 20 or newer)."

# Without Node everything but infra is tested.
NODE := $(shell command -v node)
TESTED = $(if $(NODE),./...,$(shell $(GO) list ./... | grep -v /infra))

.PHONY: race
race: ## the tests of the parts with goroutines, under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./localcloud/... ./shared/... ./worker/...

.PHONY: snapshot
snapshot: functions ## synthesize the template anew into infra/stack/snapshot (needs Node)
	$(GO) test ./infra/stack -run TestSnapshot -update

.PHONY: bench
bench: build ## speed and size, with the machine and the method
	$(GO) run ./cmd/millrace/bench

.PHONY: screenshots
screenshots: ## every kind of report as people see it, in bin/screenshots (needs Chromium)
	rm -rf bin/screenshots && mkdir -p bin/screenshots
	$(GO) test ./worker -run TestReportsInABrowser -count 1 -artifacts -outputdir bin/screenshots

.PHONY: lint
lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
