#!/usr/bin/env bash
# The shipped capabilities over the lab find exactly what is there.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
limit=180
lab=$tmp/lab
trap '"$repo/tests/lab/lab.sh" stop "$lab"' EXIT
trap 'exit 130' INT TERM
"$repo/tests/lab/lab.sh" start "$lab" || { fail "the lab starts"; finish; }
# shellcheck source=/dev/null
. "$lab/env"

# expected.txt with this lab's ports and certificates
fill=(-e "s/{HTTP}/$LAB_HTTP/g" -e "s/{TLS}/$LAB_TLS/g" -e "s/{ALT}/$LAB_ALT/g")
while read -r name digest; do fill+=(-e "s/{cert $name}/$digest/g"); done <"$lab/certs"
grep -v '^#' "$repo/tests/lab/expected.txt" | sed "${fill[@]}" | LC_ALL=C sort >"$tmp/want"

run() {
  # The limits are for a machine that is busy with other things.
  rt run -c "$repo/scripts" -s domain:lab.test --resolver "$LAB_RESOLVER" --set port-scan.ports="$LAB_PORTS" \
    --set port-scan.timeout=4s --set http-probe.timeout=20s --set tls-cert.timeout=20s \
    --set dns-resolve.timeout=20s --session "$1" "${@:2}" >"$tmp/$1" 2>"$tmp/err"
}
compare() {
  keys "$tmp/$1" >"$tmp/got"
  if cmp -s "$tmp/want" "$tmp/got"; then
    pass "$2"
  else
    fail "$2" "$(diff "$tmp/want" "$tmp/got" | grep '^[<>]')" "$(tail -n 12 "$tmp/err")"
  fi
}

run first
same "exit code" 0 $?
compare first "exactly what is expected"
check "titles are read" grep -q '"title":"Vault"' "$tmp/first"
rt explain first "url:https://vault.lab.test:$LAB_TLS/" >"$tmp/path"
check "the path leads through certificates" test "$(grep -c certificate: "$tmp/path")" -ge 2
check "six hops and more" test "$(wc -l <"$tmp/path")" -gt 6
run second --workers 1 --concurrency 1 --record "$tmp/second.jsonl"
compare second "the same with one worker and one job at a time"
mkdir -p "$tmp/replay"
for name in dns-resolve port-scan http-probe tls-cert cert-names version-check; do
  file=$name
  [ $name = cert-names ] && file=tls-cert
  echo "return { capability = '$repo/scripts/$file.lua', name = '$name', replay = '../second.jsonl' }" \
    >"$tmp/replay/$name.test.lua"
done
rt test "$tmp/replay" >"$tmp/replayed" 2>"$tmp/err"
same "each job of the run, played back: exit code" 0 $?
check "they are many" test "$(grep -c '^    ok ' "$tmp/replayed")" -ge 80
# domain -> ipv4 -> port -> technology -> finding, step by step (hosts left out, there is one way only)
run chain --scope '!host:**'
rt explain chain "finding:Relay tells its version, 3" >"$tmp/path"
same "the chain from a domain to a finding" "domain domain ipv4 port technology finding" \
  "$(grep -Eo '(domain|ipv4|port|technology|finding):' "$tmp/path" | tr -d '\n' | sed 's/:/ /g; s/ $//')"
same "and who found each" "dns-resolve dns-resolve port-scan http-probe version-check" \
  "$(grep -Eo '(dns-resolve|port-scan|http-probe|version-check)' "$tmp/path" | tr '\n' ' ' | sed 's/ $//')"
check "its gate is told" grep -q "names no version" <(rt why chain version-check technology:Apache)
run scoped --scope 'domain:lab.test' 'ipv4:127.77.0.0/24'
same "scope: one name" "domain:lab.test" "$(keys "$tmp/scoped" | grep ^domain:)"
same "scope: its address" "ipv4:127.77.0.1" "$(keys "$tmp/scoped" | grep ^ipv4:)"

# What a scan would have found may be given by hand.
rt run -c "$repo/scripts" -s "port:$LAB_NET.4:$LAB_TLS" -s "port:portal.lab.test:$LAB_TLS" -s port:garbage \
  -s "host:core.lab.test@$LAB_NET.8" -s "ipv4:nonsense" --resolver "$LAB_RESOLVER" --without dns-resolve \
  --set port-scan.ports="$LAB_HTTP" --set http-probe.timeout=20s --session hand >"$tmp/hand" 2>"$tmp/err"
same "given by hand: exit code" 0 $?
same "given by hand: titles" "Core Edge Portal" \
  "$(sed -n 's/.*"title":"\([A-Z][a-z]*\)".*/\1/p' "$tmp/hand" | sort | tr '\n' ' ' | sed 's/ $//')"
rt jobs hand --state skipped --json | grep -v version-check >"$tmp/skipped"
same "given by hand: nonsense is skipped" 3 "$(wc -l <"$tmp/skipped")"
finish
