# make check   what to run before a commit
# make ci      what must pass before a merge (installs what it needs)

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
EXECUTIONS ?= 20000x
CHECKS ?= 1000
COUNT ?= 10
BENCH ?= .

.PHONY: check build vet lint test race soak fuzz bench ci release wheel page relupath-cuda test-cuda

check: build vet lint test

build:
	go build ./...

vet:
	go vet ./...

lint:
	$(GOLANGCI_LINT) run ./...

test:
	go test ./...

race:
	go test -race -short ./...

# Random tests on draws of their own: make soak CHECKS=10000
soak:
	RAPID_CHECKS=$(CHECKS) go test -short -timeout 2h -count 1 ./...

# Every fuzz target: make fuzz EXECUTIONS=1000000x
fuzz:
	LIMIT=0 .ci/fuzz $(EXECUTIONS)

# For benchstat: make bench BENCH=PathNorm > old.txt
bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./...

ci:
	.ci/run

# Archives and wheels for five platforms in build/release; the version is that of the tag.
release:
	cmd/relupath/release.sh build/release

# The Python wheel in build/wheels, for GOOS and GOARCH.
wheel:
	cmd/relupath/python/build.sh build/wheels

# The page for browsers in build/page, for any web server.
page:
	cmd/relupath/page/build.sh build/page

# The program with CUDA, for training on an NVIDIA GPU: see docs/gpu.md.
CUDA := finetune/internal/cuda/build.sh

relupath-cuda:
	$(CUDA) go build -tags cuda -o relupath-cuda ./cmd/relupath

# Its tests, against an emulated driver: they need no GPU.
test-cuda:
	$(CUDA) emulator
	LD_LIBRARY_PATH=$(CURDIR)/build/cuda/emulator $(CUDA) go test -tags cuda -short -count 1 ./finetune/...
