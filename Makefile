# Passerelle. `make help` lists what there is; docs/development.md says more.
SHELL := /bin/bash
BUILD := swift build -c release --static-swift-stdlib --product passerelle
BINARY := .build/release/passerelle
DATA ?= ./data

.DEFAULT_GOAL := help
.PHONY: help build run test test-long lint format bench bench-store bench-gateway bench-policies bench-log bench-http bench-audit bench-identity bench-rest fuzz clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## release binary at .build/release/passerelle
	@Scripts/install-dependencies build
	$(BUILD)

run: build ## start the platform with its demo on ./data
	@exec $(BINARY) demo --data $(DATA)

test: ## everything that is quick: lint, rooms, integration, a few crash rounds (at most 25 minutes on 2 cores)
	@Scripts/install-dependencies test
	@Scripts/test

test-long: ## what takes longer: fuzzing, sanitizers, crash rounds
	@Scripts/install-dependencies test
	@Scripts/test-long

lint: ## layout and style
	@Scripts/lint

format: ## settle the layout of every Swift file
	swift format format -i --recursive Package.swift Sources Tests Benchmarks

bench: bench-store bench-gateway bench-policies bench-log bench-http bench-audit bench-identity bench-rest ## every benchmark, each a table

bench-gateway: build ## CPU per request beside nginx, HAProxy and Envoy
	@Scripts/install-dependencies bench
	@python3 Benchmarks/gateway/run.py --binary $(BINARY)

bench-store: ## durable transactions, their latencies, reads
	@Scripts/install-dependencies build
	@swift build -c release --static-swift-stdlib --product StoreBenchmark
	@.build/release/StoreBenchmark

bench-policies: ## the gateway's rules alone: matching, deciding, recording, compiling
	@Scripts/install-dependencies build
	@swift build -c release --static-swift-stdlib --product PolicyBenchmark
	@.build/release/PolicyBenchmark

bench-log: ## the log beside Redis Streams and PostgreSQL, ten million events, crashes: what must hold, and whether it does
	@Scripts/install-dependencies bench
	@Benchmarks/log/run

bench-http: ## the control plane's HTTP server and client alone
	@Scripts/install-dependencies bench
	@Benchmarks/http/run

bench-audit: ## entries into the audit tree, verification, proofs, event streams
	@Scripts/install-dependencies build
	@Benchmarks/audit/run

bench-identity: build ## the check of a token, from the password to the token, many passwords at once
	@swift build -c release --static-swift-stdlib --product IdentityBench
	@python3 Benchmarks/identity/run.py --binary $(BINARY)

bench-rest: build ## durable changes through REST, deploy to live, start-up, memory
	@Scripts/install-dependencies bench
	@python3 Benchmarks/platform/run.py --binary $(BINARY)

fuzz: ## every parser under AddressSanitizer for FUZZ_SECONDS each (default 20)
	@Scripts/install-dependencies build
	@Scripts/fuzz

clean: ## remove what was built
	rm -rf .build
