# Dragonfly. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN    := bin
IMAGES := $(BIN)/images
CLOUD  := $(BIN)/images-cloud
CACHE  := $(BIN)/cache
SUDO   := $(if $(filter 0,$(shell id -u)),,sudo)
GOBUILD = go build -trimpath -ldflags '-s -w'
export GOFLAGS ?= -buildvcs=auto
# SQLite, which rqlite brings: what it notes to undo a statement stays in memory and is
# not a file from 64 KiB on (no other size will do: it writes at most 128 KiB of it at
# once), each connection keeps 8 MB of pages and not 2, and nobody reads how much memory
# it has. 64 clients register 7 % more machines.
export CGO_CFLAGS ?= -O2 -g -DSQLITE_STMTJRNL_SPILL=-1 -DSQLITE_DEFAULT_CACHE_SIZE=-8000 -DSQLITE_DEFAULT_MEMSTATUS=0

# What Debian 12 has to bring: a C compiler for SQLite, what unpacks kernels, and
# the lab's DHCP server, firmware, virtual machines and browser.
PACKAGES := gcc libc6-dev ca-certificates debian-archive-keyring zstd xz-utils bzip2 qemu-utils mtools dosfstools \
	iproute2 dnsmasq-base qemu-system-x86 ovmf ipxe-qemu tcpdump chromium systemd \
	grub-common grub-pc-bin grub-efi-amd64-bin xorriso mmdebstrap fdisk mount e2fsprogs xfsprogs btrfs-progs openssh-client docker-registry

## help: list the targets
help:
	@sed -n 's/^## \([a-z-]*\): /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

## deps: install the Debian packages that building and testing need
deps: $(BIN)/.deps
$(BIN)/.deps: Makefile
	@mkdir -p $(BIN)
	@missing=$$({ dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(PACKAGES) 2>/dev/null || true; } | awk '$$2=="installed"{print $$1}' | sort -u | comm -13 - <(printf '%s\n' $(PACKAGES) | sort -u)); \
	command -v npm >/dev/null || missing="$$missing nodejs npm"; \
	if [ -n "$$missing" ]; then $(SUDO) apt-get update -qq; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi
	@touch $@

## assets: bundle the UI's style sheets and scripts
assets: ui/static/dist/.built
ui/static/dist/.built: ui/package-lock.json ui/package.json ui/build.mjs $(wildcard ui/static/src/* ui/*.templ) | $(BIN)/.deps
	cd ui && npm ci --no-audit --no-fund --silent && npm run --silent build
	@touch $@

## build: bin/dragonfly, bin/dragonfly-agent and the lab
build: assets | $(BIN)/.deps
	$(GOBUILD) -o $(BIN)/dragonfly ./cmd/dragonfly
	CGO_ENABLED=0 $(GOBUILD) -o $(BIN)/dragonfly-agent ./cmd/dragonfly-agent
	$(GOBUILD) -o $(BIN)/dragonfly-lab ./cmd/dragonfly-lab

## image: the agent image and the iPXE programs, from Debian's packages
image: build
	$(BIN)/dragonfly image build --out $(IMAGES) --cache $(CACHE)

# A small image on Debian's cloud kernel: the same agent, only virtual hardware.
image-cloud: build
	$(BIN)/dragonfly image build --flavour cloud --out $(CLOUD) --cache $(CACHE)

## test: everything: lint, unit tests with the race detector, and real boots in the lab
test: lint image
	go test -race -timeout 35m ./...
	cd registry/rqlite/raftlog && go test -race -timeout 5m ./...
	cd tinkerbell/prototest && go test -race -timeout 5m ./...
	go -C tinkerbell/clustertest test -timeout 30m ./...
	$(MAKE) lab ONLY=bios,uefi,deploy-uefi,deploy-worker RUNS=1

ONLY ?=
RUNS ?= 3
## lab: boot virtual machines with real firmware, install Debian on them (ONLY=bios,uefi RUNS=3)
lab: image $(if $(ONLY),$(if $(findstring tinkerbell,$(ONLY)),kubelab),kubelab)
	$(SUDO) $(BIN)/dragonfly-lab run $(if $(ONLY),--only $(ONLY)) --runs $(RUNS) --image-dir $(IMAGES) --dragonfly $(BIN)/dragonfly

# A Kubernetes API with Tinkerbell in it, for the lab. Building it takes minutes.
kubelab: | $(BIN)/.deps
	go -C tinkerbell/kubelab build -trimpath -ldflags '-s -w' -o ../../$(BIN)/kubelab .

## screenshots: a picture of every page in bin/screenshots: no machine, 3 and 5,000, both themes, a phone and a desk
screenshots: image
	$(BIN)/dragonfly-lab shots --dragonfly $(BIN)/dragonfly --image-dir $(IMAGES) --out $(BIN)/screenshots

## lighthouse: what Lighthouse (of npm) makes of the list of machines and of a machine's page, with Debian's chromium
lighthouse: image
	cd ui/lighthouse && npm ci --ignore-scripts --no-audit --no-fund --silent
	$(BIN)/dragonfly-lab lighthouse --dragonfly $(BIN)/dragonfly --image-dir $(IMAGES)

## demo: the appliance with a virtual rack; prints the URL, Ctrl-C removes everything
demo: image
	$(SUDO) $(BIN)/dragonfly-lab demo --image-dir $(IMAGES) --dragonfly $(BIN)/dragonfly

## bench: benchmarks of the paths that have to be fast, beside PostgreSQL and nginx where they are installed; 100,000 machines
bench: build
	go test -run '^$$' -bench . -benchmem ./boot/... ./registry/... ./ui/...
	go test -run '^$$' -bench 'Registrations|Storm' -benchtime 1x -v ./cmd/dragonfly
	go test -run '^$$' -bench Image2Disk -benchtime 1x -v ./images/agent/action
	go test -run '^$$' -bench Images -benchtime 1x -v ./cmd/dragonfly
	$(BIN)/dragonfly-lab bench --dragonfly $(BIN)/dragonfly $(if $(ENFORCE),--enforce)

LOSSES ?= 50
## kills: the database killed under load, alone and as leader of three, and away for a minute: nothing acknowledged is missing (LOSSES=50)
kills: assets
	DRAGONFLY_TEST_KILLS=$(LOSSES) go test -count=1 -timeout 30m -v -run KilledProcess ./registry/rqlite
	DRAGONFLY_TEST_KILLS=$(LOSSES) go test -count=1 -timeout 30m -v -run KilledAppliance ./cmd/dragonfly
	DRAGONFLY_TEST_LEADER_LOSSES=$(LOSSES) go test -count=1 -timeout 60m -v -run LosesItsLeader ./cmd/dragonfly
	DRAGONFLY_TEST_OUTAGE=60s go test -count=1 -timeout 30m -v -run 'TestOutage$$' ./cmd/dragonfly

## lint: gofmt, templ, go vet, staticcheck, and govulncheck where its database is reachable
lint: assets
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt would change: $$out"; exit 1; }
	@before=$$(cat ui/*_templ.go | sha256sum); go tool templ generate -path ui >/dev/null 2>&1; \
	  [ "$$before" = "$$(cat ui/*_templ.go | sha256sum)" ] || { echo "templ generate changed ui/*_templ.go: commit them"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	cd registry/rqlite/raftlog && go vet ./... && go tool -modfile ../../../go.mod staticcheck ./...
	cd tinkerbell/prototest && go vet ./... && go tool -modfile ../../go.mod staticcheck ./...
	cd tinkerbell/clustertest && go vet ./... && go tool -modfile ../../go.mod staticcheck ./...
	@rc=0; timeout 240 go tool govulncheck ./... >$(BIN)/govulncheck.txt 2>&1 || rc=$$?; case $$rc in \
	  0) echo "govulncheck: no known vulnerability is reachable";; \
	  3) cat $(BIN)/govulncheck.txt; exit 1;; \
	  *) echo "govulncheck: NOT CHECKED, its database cannot be reached from here";; esac

## install: binaries, image and systemd unit onto this host (PREFIX=/usr)
PREFIX ?= /usr
install: image
	$(SUDO) install -Dm755 $(BIN)/dragonfly $(DESTDIR)$(PREFIX)/bin/dragonfly
	$(SUDO) install -Dm755 $(BIN)/dragonfly-agent $(DESTDIR)$(PREFIX)/lib/dragonfly/dragonfly-agent
	$(SUDO) install -Dm644 systemd/dragonfly.service $(DESTDIR)$(PREFIX)/lib/systemd/system/dragonfly.service
	$(SUDO) sed -i 's|/usr/bin/|$(PREFIX)/bin/|' $(DESTDIR)$(PREFIX)/lib/systemd/system/dragonfly.service
	$(SUDO) install -Dm644 systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/dragonfly.conf
	[ -n "$(DESTDIR)" ] || $(SUDO) systemd-sysusers $(PREFIX)/lib/sysusers.d/dragonfly.conf
	for f in env yaml; do [ -e $(DESTDIR)/etc/dragonfly/dragonfly.$$f ] || $(SUDO) install -D -m640 $(if $(DESTDIR),,-g dragonfly) systemd/dragonfly.$$f $(DESTDIR)/etc/dragonfly/dragonfly.$$f; done
	$(SUDO) install -d -m700 $(if $(DESTDIR),,-o dragonfly -g dragonfly) $(DESTDIR)/var/lib/dragonfly
	$(SUDO) cp -rT $(IMAGES) $(DESTDIR)/var/lib/dragonfly/images
	[ -n "$(DESTDIR)" ] || { $(SUDO) chown -R dragonfly:dragonfly /var/lib/dragonfly/images; ! [ -d /run/systemd/system ] || $(SUDO) systemctl daemon-reload; }
	@[ -n "$(DESTDIR)" ] || echo "installed; next: systemctl enable --now dragonfly (see systemd/README.md)"

## clean: remove what was built
clean:
	rm -rf $(BIN) ui/node_modules
	find ui/static/dist -mindepth 1 ! -name .gitkeep -delete

.PHONY: help deps assets build image image-cloud test lab screenshots lighthouse demo bench kills lint install clean
