--- rt.test.exec - exec for capability tests: results from the fakes.
-- fakes.exec["nmap -sV 192.0.2.1"] or, whatever the arguments, fakes.exec["nmap"]: a result, its
-- stdout, an error, or a function(file, args, opts). SPDX-License-Identifier: MIT
local check = require("rt.check")
local duration = require("rt.duration")
local fence = require("rt.test.fence")

local M = {}

local function run(world, file, args, opts)
  check.string(file, 1, "run")
  args = check.optional_table(args, 2, "run") or {}
  opts = check.optional_table(opts, 3, "run") or {}
  local words = { file }
  for i, arg in ipairs(args) do
    words[i + 1] = tostring(arg)
  end
  local line = table.concat(words, " ")
  local timeout = duration.optional(opts.timeout, "timeout", "run")
  local may, refused = fence.allows_program(world, file)
  if not may then return nil, refused end
  world:note("exec.run " .. line)
  local spec = world:fake("exec", { line, file })
  if type(spec) == "function" then spec = spec(file, args, opts) end
  if spec == nil then return world:fault("fakes.exec: no answer to %s", line) end
  local err = world:failure(spec, "exec: " .. file, timeout)
  if err then return nil, err end
  if type(spec) == "string" then spec = { stdout = spec } end
  return {
    code = spec.code or (spec.signal and 128 + spec.signal) or 0,
    signal = spec.signal,
    stdout = spec.stdout or "",
    stderr = spec.stderr or "",
  }
end

function M.install(world)
  world.modules.exec = {
    run = function(file, args, opts)
      return run(world, file, args, opts)
    end,
  }
end

return M
