--- complete.lua - what shells complete and what the manual lists, from the program's own help.
-- Run by `make install` inside the runtime: runtime tools/complete.lua PROGRAM OUTPUT-FOLDER
-- Writes runtime.bash, _runtime (zsh), runtime.fish and runtime.1 (docs/man/runtime.1.in with its
-- two lists filled in), so that none of them can say anything else than `runtime --help`.
-- SPDX-License-Identifier: MIT
local exec = require("exec")
local fs = require("fs")

local program, folder = arg[1], arg[2]

local function help(...)
  local words = { ... }
  words[#words + 1] = "--help"
  return assert(exec.run(program, words)).stdout
end

-- "  -s, --seed CLASS:VALUE    first assets" -> a table, or nil
local function option(line)
  local letter, name, rest = line:match("^%s+%-(%a), (%-%-[%w-]+)(.*)$")
  if not name then name, rest = line:match("^%s+(%-%-[%w-]+)(.*)$") end
  if not name then return nil end
  local value, words = rest:match("^ (%S+)%s*(.*)$")
  if not value then words = rest:match("^%s*(.*)$") end
  local choices
  if value and value:match("^[%w-]+|[%w|-]+$") then
    choices = {}
    for word in value:gmatch("[^|]+") do
      choices[#choices + 1] = word
    end
  end
  return { letter = letter, name = name, value = value, help = words, choices = choices }
end

local function section(text, title)
  local head = "\n" .. title .. "[^\n]*:\n"
  return text:match(head .. "(.-)\n\n") or text:match(head .. "(.*)$") or ""
end

local function options_of(text)
  local list = {}
  for line in section(text, "options"):gmatch("[^\n]+") do
    local one = not line:find("--help", 1, true) and option(line)
    if one then list[#list + 1] = one end
  end
  list[#list + 1] = { letter = "h", name = "--help", help = "how it is used" }
  return list
end

local function commands_of(text)
  local list = {}
  for line in section(text, "commands"):gmatch("[^\n]+") do
    local name, words = line:match("^  (%S+)%s+(.*)$")
    local own = help(name)
    local usage = own:match("usage: runtime ([^\n]*)") or name
    list[#list + 1] = { name = name, help = words, usage = usage, options = options_of(own) }
  end
  return list
end

-- --- bash ----------------------------------------------------------------------------------------

local function names(options)
  local words = {}
  for _, one in ipairs(options) do
    words[#words + 1] = one.name
    if one.letter then words[#words + 1] = "-" .. one.letter end
  end
  return table.concat(words, " ")
end

-- option -> what follows it: "files", a list of words, or nothing that can be known
local function values(all)
  local seen, list = {}, {}
  for _, options in ipairs(all) do
    for _, one in ipairs(options) do
      if one.value and not seen[one.name] then
        seen[one.name] = true
        list[#list + 1] = one
      end
    end
  end
  return list
end

local function is_file(one)
  return one.value == "PATH" or one.value == "DIR" or one.value == "FILE"
end

local function bash(global, commands)
  local out, all, verbs = {}, { global }, {}
  local function put(...)
    out[#out + 1] = string.format(...)
  end
  for _, command in ipairs(commands) do
    verbs[#verbs + 1] = command.name
    all[#all + 1] = command.options
  end
  put("# bash completion for runtime, made from its help. SPDX-License-Identifier: MIT")
  put("_runtime() {")
  put("  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= word")
  put("  COMPREPLY=()")
  put("  case $prev in")
  for _, one in ipairs(values(all)) do
    local pattern = one.letter and (one.name .. "|-" .. one.letter) or one.name
    if one.choices then
      put("    %s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;", pattern,
        table.concat(one.choices, " "))
    elseif is_file(one) then
      put("    %s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;", pattern)
    else
      put("    %s) return ;;", pattern)
    end
  end
  put("  esac")
  put("  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do")
  put("    case $word in %s) command=$word; break ;; esac", table.concat(verbs, "|"))
  put("  done")
  put("  case $command in")
  for _, command in ipairs(commands) do
    put("    %s) word='%s' ;;", command.name, names(command.options))
  end
  put("    *) word='%s %s' ;;", table.concat(verbs, " "), names(global))
  put("  esac")
  put("  if [[ $cur == -* || -z $command ]]; then")
  put("    COMPREPLY=($(compgen -W \"$word\" -- \"$cur\"))")
  put("  fi")
  put("  [[ $cur == -* ]] || COMPREPLY+=($(compgen -f -- \"$cur\"))")
  put("}")
  put("complete -o filenames -F _runtime runtime")
  return table.concat(out, "\n") .. "\n"
end

-- --- zsh -----------------------------------------------------------------------------------------

local function zsh_text(text)
  return (text:gsub("[%[%]:\\]", "\\%0"):gsub("'", "'\\''"))
end

local function zsh_option(one)
  local what = "[" .. zsh_text(one.help) .. "]"
  if one.value then
    local action = one.choices and "(" .. table.concat(one.choices, " ") .. ")"
      or (is_file(one) and "_files") or ""
    what = what .. ":" .. zsh_text(one.value:lower()) .. ":" .. action
  end
  if not one.letter then return "'" .. one.name .. what .. "'" end
  return ("{-%s,%s}'%s'"):format(one.letter, one.name, what)
end

local function zsh(global, commands)
  local out = {}
  local function put(...)
    out[#out + 1] = string.format(...)
  end
  local function arguments(options, rest)
    for _, one in ipairs(options) do put("      %s \\", (zsh_option(one):gsub("%%", "%%%%"))) end
    put("      %s", rest)
  end
  put("#compdef runtime")
  put("# zsh completion for runtime, made from its help. SPDX-License-Identifier: MIT")
  put("_runtime() {")
  put("  local context state line")
  put("  local -a commands")
  put("  commands=(")
  for _, command in ipairs(commands) do
    put("    '%s:%s'", command.name, zsh_text(command.help))
  end
  put("  )")
  put("  _arguments -C \\")
  arguments(global, "'1: :->command' '*:: :->rest'")
  put("  case $state in")
  put("  command) _describe -t commands command commands; _files ;;")
  put("  rest)")
  put("    case $words[1] in")
  for _, command in ipairs(commands) do
    put("    %s) _arguments \\", command.name)
    arguments(command.options, "'*:file:_files' ;;")
  end
  put("    *) _files ;;")
  put("    esac ;;")
  put("  esac")
  put("}")
  put("_runtime \"$@\"")
  return table.concat(out, "\n") .. "\n"
end

-- --- fish ----------------------------------------------------------------------------------------

local function fish_option(condition, one)
  local line = { "complete -c runtime -n " .. condition }
  if one.letter then line[#line + 1] = "-s " .. one.letter end
  line[#line + 1] = "-l " .. one.name:sub(3)
  if one.choices then
    line[#line + 1] = "-x -a '" .. table.concat(one.choices, " ") .. "'"
  elseif one.value then
    line[#line + 1] = is_file(one) and "-r" or "-x"
  end
  line[#line + 1] = "-d '" .. one.help:gsub("\\", "\\\\"):gsub("'", "\\'") .. "'"
  return table.concat(line, " ")
end

local function fish(global, commands)
  local out = { "# fish completion for runtime, made from its help. SPDX-License-Identifier: MIT" }
  for _, one in ipairs(global) do
    out[#out + 1] = fish_option("__fish_use_subcommand", one)
  end
  for _, command in ipairs(commands) do
    local text = command.help:gsub("'", "\\'")
    local line = "complete -c runtime -n __fish_use_subcommand -a %s -d '%s'"
    out[#out + 1] = line:format(command.name, text)
    for _, one in ipairs(command.options) do
      out[#out + 1] = fish_option("'__fish_seen_subcommand_from " .. command.name .. "'", one)
    end
  end
  return table.concat(out, "\n") .. "\n"
end

-- --- the manual ----------------------------------------------------------------------------------

local function roff(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-")
  return (text:gsub("^([.'])", "\\&%1"))
end

local function man_options(options)
  local out = { ".Bl -tag -width indent" }
  for _, one in ipairs(options) do
    local left = "Fl \\-" .. roff(one.name:sub(3))
    if one.letter then left = "Fl " .. one.letter .. " , " .. left end
    out[#out + 1] = ".It " .. left .. (one.value and " Ar " .. roff(one.value) or "")
    out[#out + 1] = roff(one.help)
  end
  out[#out + 1] = ".El"
  return table.concat(out, "\n")
end

local function man(global, commands, text)
  local list = { ".Bl -tag -width indent" }
  for _, command in ipairs(commands) do
    list[#list + 1] = ".It Ic " .. roff(command.usage)
    list[#list + 1] = roff(command.help:sub(1, 1):upper() .. command.help:sub(2)) .. "."
    list[#list + 1] = man_options(command.options)
  end
  list[#list + 1] = ".El"
  local fill = { options = man_options(global), commands = table.concat(list, "\n") }
  return (text:gsub('%.\\" @(%a+)@', fill))
end

local top = help()
local global, commands = options_of(top), commands_of(top)
assert(#global > 4 and #commands > 8, "the help has another form now")
local manual = assert(fs.read("docs/man/runtime.1.in"))
assert(fs.write(folder .. "/runtime.bash", bash(global, commands)))
assert(fs.write(folder .. "/_runtime", zsh(global, commands)))
assert(fs.write(folder .. "/runtime.fish", fish(global, commands)))
assert(fs.write(folder .. "/runtime.1", man(global, commands, manual)))
