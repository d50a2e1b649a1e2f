#!/usr/bin/env bash
# Builds LuaJIT from Debian's source package, once, into the folder given.
# Usage: deps/luajit.sh OUT
#
# The packaged library is built without the hook check, so a compiled loop can never be stopped; ours has it, can be
# armed from another thread (deps/luajit-async-hook.patch) and is position-independent, so that it fits into a shared
# library. The source comes through apt, which verifies its signature, with a deb-src list, state and cache of our own
# under OUT: the machine's apt configuration is read (mirror, suite, proxy, keys) and never changed.
#
# OUT gets lib/libluajit.a, include/luajit/*.h, bin/luajit, share/jit/*.lua and the stamp file luajit.stamp.
# SPDX-License-Identifier: MIT
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 OUT" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
src=$out/src
patch=$here/luajit-async-hook.patch
stamp=$out/luajit.stamp
# What the result depends on besides Debian's source.
want=$(cat "$0" "$patch" | sha256sum | cut -d' ' -f1)

# One builder at a time; the others wait for it and find the stamp.
exec 9>"$out/luajit.lock"
flock 9
if [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then exit 0; fi

fail() {
  echo "luajit: $*" >&2
  echo "luajit: 'make LUAJIT=system' builds with the packaged library instead (see CONTRIBUTING.md)" >&2
  exit 1
}
for tool in apt-get dpkg-source patch make cc; do
  command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing; run 'make deps'"
done

# The machine's own Debian mirrors, whichever of apt's two formats they are written in: "URI SUITE COMPONENT" lines.
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
mirrors() {
  apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
    awk -v c="$codename" '$3 == "main" && ($2 == c || $2 == c "-updates" || $2 == c "-security")' | sort -u
}

# Only what luajit needs, checked by apt against the signed index. $1: the options of each source line.
fetch_from() { # OPTIONS MIRRORS
  [ -n "$2" ] || return 1
  rm -rf "$src/apt"
  mkdir -p "$src/apt/lists/partial" "$src/apt/cache/archives/partial"
  sed "s|^|deb-src $1|" <<<"$2" >"$src/apt/sources.list"
  local opts=(-q -o "Dir::Etc::sourcelist=$src/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$src/apt/lists" -o "Dir::Cache=$src/apt/cache" -o APT::Sandbox::User=
    -o Acquire::Retries=3 -o Acquire::Languages=none)
  # One suite that cannot be reached does not matter when another has the package.
  apt-get "${opts[@]}" update || true
  (cd "$src" && apt-get "${opts[@]}" source --download-only luajit)
}

fetch() {
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed="" own
  [ -r "$keyring" ] && signed="[signed-by=$keyring] "
  own=$(mirrors || true)
  [ -n "$own" ] || { echo "apt has no source for Debian $codename main"; return 1; }
  fetch_from "$signed" "$own" ||
    fetch_from "" "$own" # a mirror that signs with a key of its own
}

build() {
  local tree=$src/luajit
  dpkg-source -x "$src"/luajit_*.dsc "$tree"
  patch -d "$tree" -p1 <"$patch"
  local flags="-O2 -fPIC"
  # MAKEFLAGS of an outer make would carry its variables in here.
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u CFLAGS -u CC \
    make -C "$tree/src" -j"$(nproc)" BUILDMODE=static CCOPT="$flags" CCDEBUG=-g \
    XCFLAGS="-DLUAJIT_ENABLE_CHECKHOOK -DLUAJIT_ENABLE_GC64" libluajit.a luajit
  mkdir -p "$out/lib" "$out/bin" "$out/include/luajit" "$out/share"
  rm -rf "$out/share/jit"
  cp "$tree/src/libluajit.a" "$out/lib/"
  cp "$tree/src/luajit" "$out/bin/"
  cp "$tree"/src/{lua.h,lualib.h,lauxlib.h,luaconf.h,luajit.h} "$out/include/luajit/"
  cp -r "$tree/src/jit" "$out/share/jit"
}

log=$out/luajit.log
echo "luajit: fetching and building (once, about a minute)"
rm -rf "$src" "$stamp"
mkdir -p "$src"
fetch >"$log" 2>&1 </dev/null || { tail -n 30 "$log" >&2; fail "cannot fetch the source package"; }
build >>"$log" 2>&1 </dev/null || { tail -n 30 "$log" >&2; fail "cannot build, see $log"; }
rm -rf "$src/apt"
echo "$want" >"$stamp"
