#!/usr/bin/env bash
# The examples, and the code in the README, do what they say.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1
caps=$repo/examples/capabilities

rt run -c "$caps/words.lua" -s "text:the quick brown fox" --session words >out 2>err
same "words: exit code" 0 $?
same "words: the chain" "length:5 text:the quick brown fox word:brown word:fox word:quick word:the" \
  "$(keys out | tr '\n' ' ' | sed 's/ $//')"
rt run -c "$caps/words.lua" -s "text:the quick brown fox" --set measure.least=3 --session short >out 2>err
same "words: an option reaches match" "length:3 length:5" "$(keys out | grep length | tr '\n' ' ' | sed 's/ $//')"
rt run -c "$caps/retry.lua" -s ticket:1 -s ticket:2 --session retry >out 2>err
same "retry: exit code" 0 $?
same "retry: both redeemed" 2 "$(grep -c '"class":"receipt"' out)"
rt jobs retry --json >jobs
same "retry: at the second attempt" 2 "$(grep -c '"attempt":2' jobs)"
expect "all of them as a plan" 0 "" plan -c "$caps" --json
expect "the shipped capabilities as a plan" 0 "" plan -c "$repo/scripts" --json
check "they are six" test "$(grep -o '"file":' out | wc -l)" = 6

# The script of the README, between "$ cat pair.lua" and "$ runtime pair.lua".
sed -n '/\$ cat pair.lua/,/\$ runtime pair.lua/p' "$repo/README.md" | sed '1d;$d;s/^    //' >pair.lua
same "README: the script" "42" "$(rt pair.lua 2>err)"
# Its first capability, without the network.
sed -n '/^-- titles.lua/,/^```/p' "$repo/README.md" | sed '$d' >titles.lua
expect "README: the capability" 0 "" plan -c titles.lua
check "README: its flow" grep -q "titles.*url.*title" out
finish
