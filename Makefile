# make demo shows ftpgate at work on a virtual router, make test is what CI runs. Both want root on Debian 12 or a later
# one, and install by apt-get what they need beside Go.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

# Where go.dev's archive is unpacked, for those who have not changed their PATH.
export PATH := $(PATH):/usr/local/go/bin
# The version is stamped below; Go's own stamping fails in a checkout that belongs to somebody else.
export GOFLAGS := -buildvcs=false

VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null)
# The date of man pages: of the commit, so that everybody makes the same ones.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
# What is tested, and how many packages at the same time: two do not disturb each other, each has its own namespaces.
PACKAGES    ?= ./...
PARALLEL    ?= 2
# Tested with the other backend as well, at the same time: they wait more than they work.
RING        ?= ./cmd/ftpgate
TESTTIMEOUT ?= 40m
FUZZTIME    ?= 60s
# What makes the packages, where they are put, and for what they are.
NFPM        := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
PACKAGEDIR  ?= bin/packages
ARCHITECTURES ?= amd64 arm64 armv7
# For ftpgate-demo: --iptables legacy, --full, --hold.
DEMOFLAGS   ?=
# For ftpgate-bench: --rounds 3, --only kernel,ftpgate-nft, --figures small; for its soak: --backend iptables, --files 1000.
BENCHFLAGS  ?=
SOAKFLAGS   ?=

.PHONY: demo
demo: ## build everything and show it on a virtual router; HOLD=1 stays up afterwards
	@deploy/lab/install.sh demo
	@$(MAKE) --no-print-directory build
	@bin/ftpgate-demo $(DEMOFLAGS)

.PHONY: build
build: ## bin/ftpgate, bin/ftpgate-demo and bin/ftpgate-bench, static
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ftpgate ./cmd/ftpgate
	CGO_ENABLED=0 go build -trimpath -o bin/ftpgate-demo ./cmd/ftpgate-demo
	CGO_ENABLED=0 go build -trimpath -o bin/ftpgate-bench ./cmd/ftpgate-bench

.PHONY: docs
docs: ## bin/man and bin/completions, made of the commands and of configs/ftpgate.yaml
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) go run -tags docs -ldflags '-X main.version=$(VERSION)' ./cmd/ftpgate docs bin

.PHONY: package
package: ## bin/packages: deb and rpm for amd64, arm64 and armv7, the same bytes wherever they are built
	@deploy/package/build.sh '$(PACKAGEDIR)' '$(VERSION)' '$(SOURCE_DATE_EPOCH)' '$(NFPM)' $(ARCHITECTURES)

.PHONY: test
test: lint ## all tests, those on the real kernel as well; a skipped one is a failure
	@deploy/lab/install.sh test
	@mkdir -p bin
	@echo 'go test -race -tags kernel $(PACKAGES)   (all that the tests say: bin/test.log)'
	@echo 'and meanwhile $(RING) with backend iptables   (bin/test-iptables.log)'
	@run() { CGO_ENABLED=1 go test -race -tags kernel -count 1 -p $(PARALLEL) -timeout $(TESTTIMEOUT) -v "$$@" 2>&1; }; \
	FTPGATE_TEST_BACKEND=iptables run $(RING) >bin/test-iptables.log & other=$$!; \
	status=0; \
	run $(PACKAGES) | tee bin/test.log | sed -unE '/^(ok  |FAIL|\?   )\t/p' || status=$$?; \
	wait $$other || status=$$?; \
	sed -nE 's/^(ok  |FAIL)\t/&backend iptables: /p' bin/test-iptables.log; \
	awk -f .ci/trouble.awk bin/test.log; awk -f .ci/trouble.awk bin/test-iptables.log; \
	exit $$status

.PHONY: test-deploy
test-deploy: ## deb and rpm in a Debian with systemd: install, transfer, upgrade, remove, purge; beside ufw, firewalld and others; some 12 minutes
	@deploy/lab/install.sh deploy
	@mkdir -p bin
	@CGO_ENABLED=1 go test -race -tags deploy -count 1 -timeout $(TESTTIMEOUT) -v ./deploy/package 2>&1 | tee bin/test-deploy.log

.PHONY: bench
bench: ## measure ftpgate beside the kernel's helper and mod_proxy, some 8 minutes: bin/bench.md, bin/bench.json
	@deploy/lab/install.sh bench
	@$(MAKE) --no-print-directory build
	@bin/ftpgate-bench $(BENCHFLAGS)

.PHONY: soak
soak: ## watch ftpgate while 24 sessions fetch 20,000 files each
	@deploy/lab/install.sh demo
	@$(MAKE) --no-print-directory build
	@bin/ftpgate-bench soak $(SOAKFLAGS)

.PHONY: screenshot
screenshot: ## make the README's picture of the dashboard anew, by its test; takes six minutes
	@deploy/lab/install.sh test
	FTPGATE_TEST_SCREENSHOT=$(CURDIR)/proxy/status/page/dashboard.png go test -tags kernel -count 1 -run 'TestDashboard$$' ./cmd/ftpgate

.PHONY: lint
lint: ## gofmt and go vet
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not as gofmt has it: $$unformatted"; exit 1; }
	go vet ./...
	go vet -tags kernel ./...
	go vet -tags docs ./cmd/ftpgate
	go vet -tags deploy ./deploy/package

.PHONY: fmt
fmt: ## let gofmt rewrite the sources
	gofmt -l -w .

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
