#!/usr/bin/env bash
# `runtime graph --html`: one page by itself, at 5,000 assets, some of them hostile; in headless Chromium, if there is one.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >caps.lua <<'END'
local hostile = { "</script><script>document.title='owned'</script>", "<img src=x onerror=document.title='owned'>",
  "<!--<script>", "&lt;b&gt;", "\226\128\168\226\128\169", "__proto__", "]]>\"'`${document.title='owned'}" }
local hosts = capability { name = "hosts", input = { "domain" }, output = { "host" },
  invoke = function(job, asset)
    for i = 1, 238 do job:send { class = "host", value = "h" .. i .. "." .. asset.value } end
  end }
local ports = capability { name = "ports", input = { "host" }, output = { "port" },
  invoke = function(job, asset)
    for i = 1, 20 do job:send { class = "port", value = asset.value .. ":" .. i } end
  end }
local notes = capability { name = "notes", input = { "domain" }, output = { "note" },
  invoke = function(job) for _, value in ipairs(hostile) do job:send { class = "note", value = value } end end }
return { hosts, ports, notes }
END
rt run -c caps.lua -s domain:a.example --session big >/dev/null 2>&1
expect "a page" 0 "" graph big --html
mv out page.html
expect "the same as JSON" 0 "" graph big --json
mv out graph.json

# --- What is in the file.
sed -n '/<script type="application\/json" id="data">/,/<\/script>/p' page.html |
  sed 's/.*<script type="application\/json" id="data">//; s/<\/script>.*//' >data.json
sed '/<script type="application\/json"/,/<\/script>/d' page.html >bare.html
cat >equal.lua <<'END'
local json, fs = require("json"), require("fs")
local page, graph = json.decode(fs.read("data.json")), json.decode(fs.read("graph.json"))
local session = page.session
page.session = nil
print(session, #page.nodes, json.encode(page) == json.encode(graph))
END
same "the page holds the session's assets" "$(printf 'big\t5006\ttrue')" "$(rt equal.lua 2>&1)"
same "what could end the data is escaped" 0 "$(grep -cP '[<>&]|\xe2\x80[\xa8\xa9]' data.json)"
same "two script elements, whatever the assets say" "2 2" \
  "$(grep -o '<script' page.html | wc -l) $(grep -o '</script>' page.html | wc -l)"
check "a policy forbids the network" grep -q "default-src 'none'" bare.html
same "nothing is loaded" "" "$(grep -Eno 'https?:|src=|href=|url\(|@import|fetch\(|import\(' bare.html)"
same "no text becomes markup or code" "" \
  "$(grep -Eno 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function' bare.html)"
# What the script asks for is in the page, and the filter is one of it: seen without a browser.
used=$(grep -oE '\$\("[a-z-]+"\)|getElementById\("[a-z-]+"\)' bare.html | grep -oE '"[a-z-]+"' | sort -u | tr -d '"')
check "the script asks for its elements" test "$(wc -w <<<"$used")" -ge 8
for id in $used; do
  [ "$id" = data ] || same "the page has one element '$id'" 1 "$(grep -c " id=\"$id\"" bare.html)"
done
for id in filter graph rows range status details; do check "among them is '$id'" grep -qx "$id" <<<"$used"; done
check "the filter hears what is typed" grep -qE '\$\("filter"\)\.oninput = ' bare.html
check "it looks for each of its words" grep -qE 'words\.every\(w => a\.search\.includes\(w\)\)' bare.html
check "in its key, in lower case" grep -qE 'search: n\.key\.toLowerCase\(\)' bare.html
check "the table and the graph show what it lets through" grep -qE 'shown = kept \? visible\.filter' bare.html
echo 'const a = b => b?.c ?? `${b}`;' >probe.js
if node --check probe.js 2>/dev/null; then
  sed -n '/<script>/,/<\/script>/p' bare.html | sed 's/<\/*script>//g' >bare.js
  check "the script is well formed" node --check bare.js
else
  pass "the script is well formed # SKIP no node that knows such scripts"
fi
check "its size is that of its assets" test "$(wc -c <page.html)" -lt $((5006 * 250))
rt run -c caps.lua -s domain:b.example --only notes --session small >/dev/null 2>&1
check "words for dot are as they are" grep -qF '"note:<!--<script>"' <(rt graph small --dot)

# --- What a browser makes of it.
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
# dom PAGE: the page after its scripts ran, to page.dom; fails when the browser does not work or answers late
dom() {
  timeout -k 5 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
    --user-data-dir="$tmp/profile" --dump-dom "file://$tmp/$1" >page.dom 2>/dev/null </dev/null
}
title() { sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' page.dom | head -n 1; }
# in_browser NAME PAGE TITLE TEXT...: what the page says; a browser that fails is no fault of the page
in_browser() {
  local name="in a browser: $1" want=$3
  if ! dom "$2"; then
    pass "$name # SKIP the browser failed"
    return
  fi
  same "$name" "$want" "$(title)"
  shift 3
  for text in "$@"; do check "$name: $text" grep -qF "$text" page.dom; done
}

echo '<!DOCTYPE html><title>no</title><script>document.title = "works"</script>' >probe.html
if [ -z "$browser" ] || ! dom probe.html || [ "$(title)" != works ]; then
  pass "in a browser # SKIP no Chromium that works here"
  finish
fi
in_browser "a large graph starts closed" page.html big "5,006 of 5,006 assets, 4 drawn, 3 lines" "1 to 200 of 5,006"
rt graph small --html >small.html
in_browser "a small graph starts open" small.html small "8 of 8 assets, 8 drawn, 7 lines"

# A hand: uses the page as a reader would, and says in the title what failed first.
cat >hand.js <<'END'
const failed = [], is = (what, got, want) => { if (got !== want) failed.push(`${what}: ${got}, not ${want}`); };
const say = () => document.getElementById("status").textContent;
const type = text => { const f = document.getElementById("filter"); f.value = text; f.oninput(); };
const button = name => [...document.querySelectorAll("button")].find(b =>
  (b.getAttribute("aria-label") || b.textContent).startsWith(name));
const cell = (row, column) => document.querySelectorAll("#rows tr")[row]?.children[column].textContent;
const key = k => document.getElementById("graph").dispatchEvent(new KeyboardEvent("keydown", { key: k }));
try {
  button("Open host").click();
  is("opened", say(), "5,006 of 5,006 assets, 241 drawn, 477 lines");
  button("Close host").click();
  is("closed", say(), "5,006 of 5,006 assets, 4 drawn, 3 lines");
  button("Open port").click();
  is("5,000", say().includes("4,763 drawn"), true);
  is("from far away no names", letters(items[0]), 0);
  const some = items[4000], box = canvas.getBoundingClientRect();
  canvas.onpointermove({ clientX: box.left + view.x + some.x * view.scale,
    clientY: box.top + view.y + some.y * view.scale });
  is("but under the pointer", byKey.has(canvas.title), true);
  select(some, true);
  is("and for the selected", Math.round(letters(some) * view.scale), 13);
  select(null);
  for (const scale of [0.4, 0.65, 1, 2]) {
    view.scale = scale;
    is(`letters fit at ${scale}`, letters(some) * scale > 7 && letters(some) <= gap - 4, true);
    is(`names fit at ${scale}`, titleOf(some, letters(some)).length * letters(some) * 0.56 < some.room, true);
  }
  fit();
  button("Close port").click();
  is("readable when closed", Math.min(...items.map(letters)) * view.scale > 10.9, true);
  button("Next").click();
  is("paged", document.getElementById("range").textContent, "201 to 400 of 5,006");
  button("Led to").click();
  button("Led to").click();
  is("sorted", cell(0, 1), "a.example");
  is("sorted by number", cell(1, 5), "20");
  type("H7.A port:");
  is("filtered", say(), "20 of 5,006 assets, 22 drawn, 21 lines");
  is("filtered table", cell(0, 3), "host:h7.a.example");
  document.querySelector("#rows .link").click();
  is("selected", document.querySelector("#details h2").textContent, cell(0, 1));
  is("its row", document.querySelectorAll("tr.selected").length, 1);
  key("n");
  is("next", document.querySelector("#details h2").textContent === cell(0, 1), false);
  for (const k of ["ArrowLeft", "ArrowDown", "+", "-", "0", "p", "Escape"]) key(k);
  is("nothing selected", document.getElementById("details").textContent, "");
  type("<\/script>");
  is("hostile", cell(0, 1), "<\/script><script>document.title='owned'<\/script>");
  is("as text", document.querySelectorAll("#rows img, #rows script").length, 0);
  type("__proto__");
  is("a name of the language", cell(0, 0), "note");
  type("no such thing");
  is("nothing", document.getElementById("range").textContent, "nothing matches");
  is("of the title", document.title, "big");
} catch (e) { failed.push(String(e)); }
document.title = failed[0] || "all well";
END
{ cat page.html && echo '<script>' && cat hand.js && echo '</script>'; } >hand.html
in_browser "open, close, sort, filter, select, keys" hand.html "all well"
finish
