--- The faults of `make mutants` still fit the sources: each text stands there once, and the test
--- that must fail is there. SPDX-License-Identifier: MIT
local fs = require("fs")

local ROOT = assert(fs.realpath(arg[0]:gsub("[^/]*$", "") .. "..")) .. "/"
local WHERE = { c = "tests/c/test_%s.c", spec = "tests/spec/%s_spec.lua", cli = "tests/cli/%s.sh" }

describe("the faults of make mutants", function()
  local seen = {}
  for _, mutant in ipairs(dofile(ROOT .. "tests/mutants/list.lua")) do
    it(mutant.name, function()
      assert.is_nil(seen[mutant.name])
      seen[mutant.name] = true
      local text = assert(fs.read(ROOT .. mutant.file))
      local _, count = text:gsub(mutant.from:gsub("%p", "%%%0"), "")
      assert.equal(1, count, "its text does not stand once in " .. mutant.file)
      assert.not_equal(mutant.from, mutant.to)
      local kind, name = mutant.test:match("^(%w+)/([%w_]+)$")
      assert.is_truthy(fs.stat(ROOT .. WHERE[kind]:format(name)), mutant.test .. " is not there")
    end)
  end
end)
