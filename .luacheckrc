-- luacheck: the embedded library, the shipped capabilities, examples and specs.
std = "luajit"
max_line_length = 100
codes = true
cache = false
self = false
exclude_files = { "build", "lua/meta" }

-- What every process finds among its globals.
read_globals = {
  "process",
  "channel",
  "errors",
  "capability",
  "capabilities",
  coroutine = { fields = { "spawn" }, other_fields = true },
}

files["tests/spec"] = { std = "+busted" }
files["tests/run.lua"] = { std = "+busted" }
