#!/usr/bin/env bash
# The installed tree, used as a stranger would: what is there, where it works, what its library lets out.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/embed.sh"

check "everything is in place" ls "$prefix"/bin/runtime "$prefix"/lib/libruntime.{so,a} "$prefix/include/rt/rt.h" \
  "$prefix/lib/pkgconfig/runtime.pc" "$prefix/share/runtime/meta/events.lua" "$prefix/share/man/man1/runtime.1" \
  "$prefix/share/bash-completion/completions/runtime" "$prefix/share/zsh/site-functions/_runtime" \
  "$prefix/share/fish/vendor_completions.d/runtime.fish" "$prefix/share/runtime/scripts/port-scan.lua"
check "the installed program runs" "$prefix/bin/runtime" --version

# --- anywhere, and away again
staged() { (umask 077 && make_in install PREFIX=/opt/rt DESTDIR="$TMP/the stage"); }
check "make install below DESTDIR, whose name has a space" staged
no_paths() { ! grep -rIl -e "$TMP" -e "$PWD" "$TMP/the stage"; }
check "no file of it knows where it was made" no_paths
readable() { ! find "$TMP/the stage/opt/rt" -not -perm -444 | grep .; }
check "others may read it, whatever the umask" readable
mv "$TMP/the stage/opt/rt" "$TMP/moved"
moved() { [ "$(PKG_CONFIG_PATH=$TMP/moved/lib/pkgconfig pkg-config --variable=libdir runtime)" -ef "$TMP/moved/lib" ]; }
check "the .pc file may be moved with the tree" moved
check "and the program" "$TMP/moved/bin/runtime" -e "assert(require('events').stats())"
mkdir "$TMP/to" && mv "$TMP/moved" "$TMP/to go"
check "make uninstall" make_in uninstall PREFIX="$TMP/to go"
no_files() { ! find "$TMP/to go" -not -type d | grep . && [ -d "$TMP/to" ]; }
check "leaves nothing, and takes nothing else" no_files
soname() { readelf -d "$prefix/lib/libruntime.so" | grep -q 'SONAME.*\[libruntime\.so\.[0-9]*\]'; }
check "the library has a soname" soname
no_rpath() { ! readelf -d "$prefix/lib/libruntime.so" | grep -E 'RPATH|RUNPATH'; }
check "and no paths" no_rpath

# --- what leaves the libraries
exported() { nm -D --defined-only "$prefix/lib/libruntime.so" | awk '{ print $NF }' | LC_ALL=C sort -u; }
declared() {
  cat "$prefix"/include/rt/*.h | tr '\n' ' ' | grep -oE 'RT_API [^;(]*\(' | grep -oE 'rt_[a-z0-9_]+ *\($' | tr -d ' (' |
    LC_ALL=C sort -u
}
same_calls() { diff <(declared) <(exported); }
check "exactly the declared calls leave the shared library" same_calls
no_foreign() { ! exported | grep -E '^(rt__|lua|lj_|uv_|sqlite3|ares_|curl_)|^[^r]'; }
check "none of Lua's, libuv's or another library's" no_foreign
global_in_static() { nm -g --defined-only "$prefix/lib/libruntime.a" 2>/dev/null | awk 'NF == 3 { print $3 }' | LC_ALL=C sort -u; }
same_static() { diff <(declared) <(global_in_static); }
check "nor the static one" same_static
named() { # by the page that fixes the names, where it names a call
  local name
  for name in rt_runtime_{new,free,run,run_async,stop,bus,registry,add_module} rt_value_{ref,unref,from_json,to_json} \
    rt_bus_{new,stop,free,subscribe,unsubscribe,send,wanted} rt_subscriber_{new,close} rt_router_{new,add,stop,free} \
    rt_awaiter_{new,prepare,free} rt_waiter_{wait,wait_async,event,close} rt_queue_{has,append,next,processed,delete} \
    rt_session_{open,dispatch,wait,stats,pause,resume,cancel,done,close,list,remove,owner,socket} \
    rt_report_{assets,asset,edges,jobs,explain,why,why_not} rt_registry_{add,load,load_code,remove,get,list,plan,target_tasks} \
    rt_job_{asset,id,session,send,complete,snooze,progress,canceled,allows} rt_process_{spawn,exec,send,start,receive,monitor,cancel,terminate} \
    rt_status_{text,kind,from_kind} rt_version; do
    exported | grep -qx "$name" || { echo "there is no $name"; return 1; }
  done
  for name in runtime value bus queue session registry process status module; do
    [ -e "$prefix/include/rt/$name.h" ] || { echo "there is no rt/$name.h"; return 1; }
  done
}
check "every promised call is there" named
enough() { [ "$(exported | wc -l)" -ge 150 ]; }
check "they are counted" enough

# --- no state of ours: what can be written is a guard of pthread_once()
writable() { objdump -t "$build/libruntime.a" | grep -E '\*COM\*|\.(t?bss|t?data)\b' | grep -v -e '\.data\.rel\.ro' -e ' l    d  '; }
no_state() { ! writable | grep -v ' once$'; }
[ -n "$san" ] || check "the library has no mutable globals" no_state

# --- what a library must not do: our own objects call none of these
forbidden='exit _exit _Exit quick_exit signal sigaction sigprocmask printf vprintf puts putchar perror fork vfork system popen
  stdout stderr uv_spawn uv_signal_start uv_default_loop setenv putenv chdir setlocale atexit __printf_chk __vprintf_chk'
calls_none() {
  nm -u "$build"/obj/runtime/{base,value,sys,net,bus,relay,process,registry,store,dispatcher,bind}/*.o | awk '{ print $NF }' |
    LC_ALL=C sort -u >"$TMP/calls"
  [ -s "$TMP/calls" ] && ! grep -Fx "$(tr -s ' ' '\n' <<<"$forbidden" | grep .)" "$TMP/calls"
}
[ -n "$san" ] || check "the library calls no exit(), prints nothing, handles no signals" calls_none

# --- the program is a host like any other: its objects and the installed library are enough
program() {
  mapfile -t edit < <(pkg-config --libs libedit 2>/dev/null | tr ' ' '\n' | grep .)
  gcc -o "$TMP/program" "$build"/obj/runtime/cli/*.o "$build"/gen/graph_page.o "${libs[@]}" "${edit[@]}" -pthread &&
    [ "$("$TMP/program" -e 'print(6 * 7)')" = 42 ]
}
[ -n "$san" ] || check "the program links with the shared library alone, and runs" program
public_only() { ! grep -nE '#include "[a-z]+/|rt__' runtime/cli/*.[ch] | grep -vE '#include "rt/[a-z]+\.h"'; }
check "its sources include public headers only" public_only

# --- the manual and the completions say what the help says
commands() { "$prefix/bin/runtime" --help | sed -n '/^commands:/,/^$/p' | sed '1d;/^$/d' | awk '{ print $1 }'; }
long_options() { "$prefix/bin/runtime" "$@" --help | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -e '--[a-z-]+'; }
in_all() { # WORD WORD-IN-ROFF
  local file
  for file in "$prefix/share/bash-completion/completions/runtime" "$prefix/share/zsh/site-functions/_runtime"; do
    grep -qF -- "$1" "$file" || { echo "no $1 in $file"; return 1; }
  done
  grep -qF -- "${1#--}" "$prefix/share/fish/vendor_completions.d/runtime.fish" || { echo "no $1 for fish"; return 1; }
  grep -qF -- "$2" "$prefix/share/man/man1/runtime.1" || { echo "no $1 in the manual"; return 1; }
}
in_roff() { sed "s/^-//; s/-/\\\\-/g" <<<"$1"; } # after .Fl
all_listed() {
  local command option
  for command in $(commands); do
    in_all "$command" "$command" || return 1
    for option in $(long_options "$command"); do in_all "$option" "$(in_roff "$option")" || return 1; done
  done
  for option in $(long_options); do
    [ "$option" = --version ] || in_all "$option" "$(in_roff "$option")" || return 1
  done
}
check "every command and option of the help is in the manual and the completions" all_listed
completes() { # LINE... WORD
  local found
  COMP_WORDS=("$@")
  found=$(
    . "$prefix/share/bash-completion/completions/runtime"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _runtime
    printf '%s ' "${COMPREPLY[@]}"
  )
  echo "$found"
}
bash_completes() {
  [ "$(completes runtime res)" = "resume " ] && [ "$(completes runtime run --progress ne)" = "never " ] &&
    [ "$(completes runtime jobs one --ret)" = "--retry " ]
}
check "bash completes a command, an option and its value" bash_completes
if command -v groff >/dev/null; then
  manual() { [ -z "$(groff -mdoc -Tutf8 -wall -Wbreak -z "$prefix/share/man/man1/runtime.1" 2>&1)" ]; }
  check "the manual is well formed" manual
fi
finish
