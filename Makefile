# Builds build/runtime and the library behind it, its tests, and the installed tree. `make help` lists the targets.
# Variables: BUILD (output folder), DEPS (where LuaJIT is built), V=1 (show commands), LUAJIT=system (packaged LuaJIT),
#            SAN (sanitizers, set by asan and tsan), PREFIX and DESTDIR (install).
# SPDX-License-Identifier: MIT

BUILD   ?= build
DEPS    ?= $(BUILD)/deps
PREFIX  ?= /usr/local
DESTDIR ?=
LUAJIT  ?= bundled
SAN     ?=

# One spelling of a folder, lest another rebuilds everything in it.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
override DEPS  := $(patsubst $(CURDIR)/%,%,$(DEPS))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash

ifeq ($(origin CC),default)
CC := gcc
endif
comma := ,
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$(2))')

# --- Sources: whatever is there ---------------------------------------------

LIB_SRC   := $(filter-out runtime/cli/%,$(wildcard runtime/*/*.c))
CLI_SRC   := $(wildcard runtime/cli/*.c)
LUA_SRC   := $(sort $(shell find lua -name '*.lua' -not -path 'lua/meta/*' 2>/dev/null))
HELP_SRC  := $(wildcard tests/support/*.c)
TEST_SRC  := $(wildcard tests/c/test_*.c)
BENCH_SRC := $(wildcard tests/bench/*.c)
FAULT_SRC := $(wildcard tests/fault/*.c)

LIB_OBJ   := $(LIB_SRC:%.c=$(BUILD)/obj/%.o) $(BUILD)/gen/embedded.o
CLI_OBJ   := $(CLI_SRC:%.c=$(BUILD)/obj/%.o) $(BUILD)/gen/graph_page.o
HELP_OBJ  := $(HELP_SRC:%.c=$(BUILD)/obj/%.o)
TEST_BIN  := $(TEST_SRC:tests/c/%.c=$(BUILD)/tests/%)
BENCH_BIN := $(BENCH_SRC:tests/bench/%.c=$(BUILD)/bench/%)
FAULT_BIN := $(FAULT_SRC:tests/fault/%.c=$(BUILD)/fault/%)
ALL_BIN   := $(if $(CLI_SRC),$(BUILD)/runtime)

VERSION := $(shell sed -n 's/^.define RT_VERSION_STRING *"\(.*\)"/\1/p' include/rt/*.h 2>/dev/null | head -n1)
VERSION := $(or $(VERSION),0.1.0)
ABI     := $(firstword $(subst ., ,$(VERSION)))

# --- Flags -------------------------------------------------------------------

PKGS := libuv sqlite3 libcares libcurl openssl msgpack libcjson
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   = $(shell pkg-config --libs $(PKGS) 2>/dev/null)
# Editing at the prompt of `runtime repl`, for the program only; without it lines are read as they come.
EDIT_CFLAGS = $(shell pkg-config --exists libedit 2>/dev/null && echo -DRT_EDITLINE $$(pkg-config --cflags libedit))
EDIT_LIBS   = $(shell pkg-config --libs libedit 2>/dev/null)

ifeq ($(LUAJIT),system)
LJ_CFLAGS = $(shell pkg-config --cflags luajit 2>/dev/null) -DRT_LUAJIT_SYSTEM=1
LJ_LIBS   = $(shell pkg-config --libs luajit 2>/dev/null)
LJ_WHOLE  = $(LJ_LIBS)
LJ_BIN    = luajit
LJ_DEP    =
LJ_STAMP  =
else
# The second for process/slots.h, which looks into its structs.
LJ_CFLAGS = -I$(DEPS)/include/luajit -isystem $(DEPS)/src/luajit/src
LJ_LIBS   = $(DEPS)/lib/libluajit.a
LJ_WHOLE  = -Wl,--whole-archive $(LJ_LIBS) -Wl,--no-whole-archive
LJ_BIN    = LUA_PATH='$(DEPS)/share/?.lua;;' $(DEPS)/bin/luajit
LJ_DEP    = $(DEPS)/lib/libluajit.a
LJ_STAMP  = $(DEPS)/luajit.stamp
endif

OPT      := $(if $(SAN),-O1 -fno-omit-frame-pointer -fsanitize=$(SAN),-O2)
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Iruntime -I$(BUILD)/gen
CFLAGS   += -std=c11 $(OPT) -g -fPIC -pthread -fvisibility=hidden $(WARN)
# Link order: ours, LuaJIT, then the system's libraries.
SYS_LIBS  = $(PKG_LIBS) -ldl -lm -pthread
LDFLAGS  += $(if $(SAN),-fsanitize=$(SAN))
COMPILE   = $(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(LJ_CFLAGS) $(CFLAGS) -MMD -MP

# --- Programs and libraries --------------------------------------------------

all: $(BUILD)/libruntime.a $(BUILD)/libruntime.so $(ALL_BIN) ## build everything (default)

.PHONY: all
.SECONDARY:

# The libraries are looked for once per run, before anything is compiled.
.PHONY: check-libs
check-libs:
	@pkg-config --exists $(PKGS) $(if $(filter system,$(LUAJIT)),luajit) 2>/dev/null || { \
	  echo "Libraries are missing: run make deps" >&2; \
	  pkg-config --print-errors --exists $(PKGS) 2>&1 | grep '^No package' >&2; exit 1; }

# Changed flags or a changed list of files rebuild what depends on them.
define record
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' >$@
endef
.PHONY: always
$(BUILD)/.flags: always | check-libs
	$(call record,$(COMPILE) $(LDFLAGS) $(EDIT_CFLAGS))
$(BUILD)/.lib-list: always
	$(call record,$(LIB_SRC))
$(BUILD)/.cli-list: always
	$(call record,$(CLI_SRC))
$(BUILD)/.lua-list: always
	$(call record,$(LUA_SRC))

ifneq ($(LUAJIT),system)
$(DEPS)/luajit.stamp: deps/luajit.sh deps/luajit-async-hook.patch
	$(Q)deps/luajit.sh $(DEPS)
# Has a recipe, so that its own time counts and not the stamp's.
$(DEPS)/lib/libluajit.a: $(DEPS)/luajit.stamp ;
endif

$(BUILD)/obj/%.o: %.c $(BUILD)/.flags | $(LJ_STAMP)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(if $(filter tests/%,$<),-Itests/support) $(if $(filter runtime/cli/% tests/%,$<),$(EDIT_CFLAGS)) -c -o $@ $<

$(BUILD)/gen/embedded.c: $(LUA_SRC) $(BUILD)/.lua-list tools/embed.lua $(LJ_DEP)
	@mkdir -p $(@D)
	$(call say,EMBED,$@)
	$(Q)$(LJ_BIN) tools/embed.lua $@ $(LUA_SRC)

$(BUILD)/gen/graph_page.c: runtime/cli/graph.html tools/embed.lua $(LJ_DEP)
	@mkdir -p $(@D)
	$(call say,EMBED,$@)
	$(Q)$(LJ_BIN) tools/embed.lua --text cli_graph_page $@ $<

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/.flags
	$(call say,CC,$@)
	$(Q)$(COMPILE) -c -o $@ $<

$(BUILD)/libruntime.a: $(LIB_OBJ) $(BUILD)/.lib-list
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $(LIB_OBJ)

$(BUILD)/libruntime.so: $(LIB_OBJ) $(BUILD)/.lib-list tools/exports.map $(LJ_DEP)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-soname,libruntime.so.$(ABI) -Wl,--version-script=tools/exports.map \
	  -Wl,--exclude-libs,ALL $(if $(SAN),,-Wl,-z,defs) -o $@ $(LIB_OBJ) $(LJ_LIBS) $(SYS_LIBS)

# -rdynamic and the whole archive: C modules of --unsafe scripts find Lua's symbols here.
$(BUILD)/runtime: $(CLI_OBJ) $(BUILD)/libruntime.a $(BUILD)/.cli-list $(LJ_DEP)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -rdynamic -o $@ $(CLI_OBJ) $(BUILD)/libruntime.a $(LJ_WHOLE) $(EDIT_LIBS) $(SYS_LIBS)

$(BUILD)/tests/%: $(BUILD)/obj/tests/c/%.o $(HELP_OBJ) $(BUILD)/libruntime.a $(LJ_DEP)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -rdynamic -o $@ $< $(HELP_OBJ) $(BUILD)/libruntime.a $(LJ_LIBS) -lcmocka $(SYS_LIBS)

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(BUILD)/libruntime.a $(LJ_DEP)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -rdynamic -o $@ $< $(BUILD)/libruntime.a $(LJ_LIBS) $(SYS_LIBS)

$(BUILD)/fault/%: $(BUILD)/obj/tests/fault/%.o $(BUILD)/libruntime.a $(LJ_DEP)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -rdynamic -o $@ $< $(BUILD)/libruntime.a $(LJ_LIBS) $(SYS_LIBS)

-include $(shell find $(BUILD)/obj $(BUILD)/gen -name '*.d' 2>/dev/null)

# --- Tests ---------------------------------------------------------------------
# The public targets first install what is missing, then start make again, which looks at the machine anew.

RUN := BUILD=$(BUILD) DEPS=$(DEPS) MAKE=$(MAKE) tests/run
.PHONY: deps test test-c test-lua test-cli test-e2e test-embed test-fault soak stress build-tests build-fault

deps: ## install what is missing with apt (asks sudo when not root)
	@LUAJIT=$(LUAJIT) tools/deps

build-tests: all $(TEST_BIN)
build-fault: all $(FAULT_BIN)

test: deps ## run every test
	@$(MAKE) --no-print-directory build-tests build-fault
	@+$(RUN) c lua fault cli e2e embed
test-c: deps ## run the C units
	@$(MAKE) --no-print-directory build-tests
	@$(RUN) c
test-lua: deps ## run the Lua specs inside the runtime
	@$(MAKE) --no-print-directory all
	@$(RUN) lua
test-cli: deps ## test the command line
	@$(MAKE) --no-print-directory all
	@$(RUN) cli
test-e2e: deps ## test against real servers on loopback
	@$(MAKE) --no-print-directory all
	@$(RUN) e2e
test-fault: deps ## hostile scripts beside an innocent one, and a short soak
	@$(MAKE) --no-print-directory build-fault
	@$(RUN) fault
SECONDS ?= 600
ARMS ?= 1000000
soak: deps ## random lives of processes for SECONDS, then nothing may be left (SEED)
	@$(MAKE) --no-print-directory build-fault
	@$(BUILD)/fault/soak $(SECONDS) $(SEED)
stress: deps ## interrupt a VM ARMS times while finalizers run: none may be lost
	@$(MAKE) --no-print-directory build-tests
	@STRESS_ARMS=$(ARMS) $(BUILD)/tests/test_luajit_hook
test-embed: deps ## test the installed headers and library
	@$(MAKE) --no-print-directory all
	@+$(RUN) embed

.PHONY: crash
ROUNDS ?= 200
crash: deps ## kill sessions ROUNDS times at random instants, resume them (for a night)
	@$(MAKE) --no-print-directory $(BUILD)/tests/test_crash $(BUILD)/tests/test_crash_again
	@CRASH_ROUNDS=$(ROUNDS) $(BUILD)/tests/test_crash
	@CRASH_ROUNDS=$(ROUNDS) $(BUILD)/tests/test_crash_again

.PHONY: mutants
PART ?=
mutants: deps ## break each gate in a copy of the sources: a test must fail (PART: those with this in their name)
	@$(MAKE) --no-print-directory all
	@$(BUILD)/runtime tests/mutants/run.lua $(abspath $(BUILD))/mutants $(abspath $(DEPS)) "$(PART)"

# --- Sanitizers: the C units in folders of their own; LuaJIT itself is not instrumented ---

.PHONY: asan tsan asan-lua tsan-lua
SAN_MAKE = $(MAKE) --no-print-directory DEPS=$(abspath $(DEPS))

asan: deps ## run the C units and embedding programs under the address and undefined-behaviour sanitizers
	@+$(SAN_MAKE) BUILD=$(BUILD)/asan SAN=address,undefined build-tests
	@BUILD=$(BUILD)/asan DEPS=$(DEPS) tests/run asan
	@+BUILD=$(BUILD)/asan DEPS=$(DEPS) MAKE=$(MAKE) SAN=address,undefined ONLY=programs tests/run embed
tsan: deps ## run the C units and embedding programs under the thread sanitizer
	@+$(SAN_MAKE) BUILD=$(BUILD)/tsan SAN=thread build-tests
	@BUILD=$(BUILD)/tsan DEPS=$(DEPS) tests/run tsan
	@+BUILD=$(BUILD)/tsan DEPS=$(DEPS) MAKE=$(MAKE) SAN=thread ONLY=programs tests/run embed

asan-lua tsan-lua: %-lua: deps ## the Lua specs likewise (CI leaves them out)
	@+$(SAN_MAKE) BUILD=$(BUILD)/$* SAN=$(if $(filter asan,$*),address$(comma)undefined,thread) all
	@BUILD=$(BUILD)/$* DEPS=$(DEPS) tests/run $@

# --- Fuzzers, and another compiler ---------------------------------------------------

.PHONY: fuzz clang check-clang
fuzz: deps ## try random input on the parsers and the C API, FUZZ_SECONDS (20) each
	@$(MAKE) -s --no-print-directory $(LJ_DEP)
	@+BUILD=$(BUILD) DEPS=$(abspath $(DEPS)) MAKE=$(MAKE) LJ_CFLAGS='$(LJ_CFLAGS)' LJ_LIBS='$(LJ_LIBS)' tests/fuzz/run

clang: deps ## compile all C sources with clang, warnings are errors
	@$(MAKE) --no-print-directory check-clang
C_SRC = $(LIB_SRC) $(CLI_SRC) $(HELP_SRC) $(TEST_SRC) $(BENCH_SRC) $(wildcard tests/fuzz/*.c tests/embed/*.c)
check-clang: | $(LJ_STAMP)
	@printf '%s\n' $(C_SRC) | xargs -P2 -n8 clang -fsyntax-only $(CPPFLAGS) -Itests/support $(PKG_CFLAGS) $(LJ_CFLAGS) \
	  $(EDIT_CFLAGS) -std=c11 -pthread $(WARN)
	@echo "clang: $(words $(C_SRC)) files without a warning"

# --- Demo and benchmarks ---------------------------------------------------------

.PHONY: demo bench build-bench
demo: deps ## watch capabilities discover real services in a lab on this machine
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/lab/demo.sh

build-bench: all $(BENCH_BIN)
bench: deps ## measure, and print the figures
	@$(MAKE) --no-print-directory build-bench
	@BUILD=$(BUILD) tests/bench/run

# --- Lint and format ---------------------------------------------------------------

.PHONY: lint format
lint: deps ## check format, cppcheck, luacheck
	@BUILD=$(BUILD) tools/lint
format: deps ## format the C sources
	@tools/lint --format

# --- Install and clean ---------------------------------------------------------------

.PHONY: install clean help

# One object in which only rt_* is left visible: a program that links it may have a Lua of its own.
$(BUILD)/install/libruntime.a: $(BUILD)/libruntime.a $(LJ_DEP)
	@mkdir -p $(@D)
	$(call say,AR,$@)
	$(Q)ld -r -o $(@D)/runtime.o --whole-archive $(BUILD)/libruntime.a $(LJ_DEP)
	$(Q)objcopy -w --keep-global-symbol='rt_*' $(@D)/runtime.o
	$(Q)objcopy -w --localize-symbol='rt__*' $(@D)/runtime.o
	$(Q)rm -f $@ && ar rcs $@ $(@D)/runtime.o

# The manual and what shells complete come from the program's own help.
SHARE := $(BUILD)/share
$(SHARE)/runtime.1: $(ALL_BIN) tools/complete.lua docs/man/runtime.1.in
	@mkdir -p $(@D)
	$(call say,HELP,$@)
	$(Q)$(BUILD)/runtime tools/complete.lua $(abspath $(BUILD)/runtime) $(SHARE)

DEST = $(DESTDIR)$(PREFIX)
install: all $(BUILD)/install/libruntime.a $(SHARE)/runtime.1 ## install below DESTDIR/PREFIX (/usr/local)
	install -d "$(DEST)"/bin "$(DEST)"/lib/pkgconfig "$(DEST)"/include/rt "$(DEST)"/share/man/man1 \
	  "$(DEST)"/share/runtime/meta "$(DEST)"/share/runtime/scripts "$(DEST)"/share/bash-completion/completions \
	  "$(DEST)"/share/zsh/site-functions "$(DEST)"/share/fish/vendor_completions.d
	install -m 755 $(BUILD)/runtime "$(DEST)"/bin/runtime
	install -m 644 $(BUILD)/install/libruntime.a "$(DEST)"/lib/libruntime.a
	install -m 755 $(BUILD)/libruntime.so "$(DEST)"/lib/libruntime.so.$(VERSION)
	ln -sf libruntime.so.$(VERSION) "$(DEST)"/lib/libruntime.so.$(ABI)
	ln -sf libruntime.so.$(ABI) "$(DEST)"/lib/libruntime.so
	install -m 644 include/rt/*.h "$(DEST)"/include/rt/
	install -m 644 lua/meta/*.lua "$(DEST)"/share/runtime/meta/
	install -m 644 scripts/*.lua "$(DEST)"/share/runtime/scripts/
	install -m 644 $(SHARE)/runtime.1 "$(DEST)"/share/man/man1/runtime.1
	install -m 644 $(SHARE)/runtime.bash "$(DEST)"/share/bash-completion/completions/runtime
	install -m 644 $(SHARE)/_runtime "$(DEST)"/share/zsh/site-functions/_runtime
	install -m 644 $(SHARE)/runtime.fish "$(DEST)"/share/fish/vendor_completions.d/runtime.fish
	sed -e 's|@VERSION@|$(VERSION)|' \
	  -e 's|@PRIVATE@|$(strip $(PKG_LIBS) $(if $(filter system,$(LUAJIT)),$(LJ_LIBS)))|' tools/runtime.pc.in \
	  >$(SHARE)/runtime.pc
	install -m 644 $(SHARE)/runtime.pc "$(DEST)"/lib/pkgconfig/runtime.pc

.PHONY: uninstall
uninstall: ## take away what install has put there
	rm -f "$(DEST)"/bin/runtime "$(DEST)"/lib/libruntime.a "$(DEST)"/lib/libruntime.so "$(DEST)"/lib/libruntime.so.$(ABI) \
	  "$(DEST)"/lib/libruntime.so.$(VERSION) "$(DEST)"/lib/pkgconfig/runtime.pc "$(DEST)"/share/man/man1/runtime.1 \
	  "$(DEST)"/share/bash-completion/completions/runtime "$(DEST)"/share/zsh/site-functions/_runtime \
	  "$(DEST)"/share/fish/vendor_completions.d/runtime.fish
	rm -rf "$(DEST)"/include/rt "$(DEST)"/share/runtime

clean: ## remove what was built (LuaJIT too)
	rm -rf $(BUILD)

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9 %:-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile
	@echo "  variables: BUILD DEPS V=1 LUAJIT=system PREFIX DESTDIR"
