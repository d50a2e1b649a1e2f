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
-- It replaces parts of the library for busted, in its own process.
files["tests/support/busted_shim.lua"] = { globals = { "debug", "io" } }
files["tests/run.lua"] = { std = "+busted" }
-- It makes the library that others find frozen, and its spec tries what must raise.
files["lua/rt/sandbox.lua"] = { ignore = { "122" } }
files["tests/spec/sandbox_spec.lua"] = { ignore = { "122" } }
-- Its scripts fill memory that nobody reads, never get to their end, and try what must raise.
files["tests/fault/attacks.lua"] = { ignore = { "142", "211", "241", "511" } }
