--- docs/comparison.md and docs/orchestration.md name the test that shows each row: it is there.
-- SPDX-License-Identifier: MIT
local fs = require("fs")

local DOCS = assert(fs.realpath(arg[0]:gsub("[^/]*$", "") .. "../docs")) .. "/"

local function is_row(line)
  return line:find("^|") and not line:find("^|[-|]+$")
end

describe("docs/comparison.md", function()
  local head, rows = nil, 0
  for line in assert(fs.read(DOCS .. "comparison.md")):gmatch("[^\n]+") do
    if line:find("^|%s*|") then
      head = line
    elseif is_row(line) then
      rows = rows + 1
      local _, columns = head:gsub("|", "")
      it(line:match("^| ([^|]+) |"), function()
        local _, cells = line:gsub("|", "")
        assert.equal(columns, cells)
        local links = 0
        for name, path in line:gmatch("%[([%w_]+)%]%(([^)]+)%)") do
          links = links + 1
          assert.is_truthy(fs.stat(DOCS .. path), path .. " is not there")
          assert.is_truthy(path:find(name, 1, true), name .. " links to " .. path)
        end
        assert.is_true(links > 0, "no test shows it")
      end)
    end
  end
  it("has its rows", function() assert.is_true(rows >= 20) end)
end)

describe("docs/orchestration.md", function()
  local text = assert(fs.read(DOCS .. "orchestration.md"))
  for path in text:gmatch("`(tests/[%w_/.]+)`") do
    it(path, function() assert.is_truthy(fs.stat(DOCS .. "../" .. path)) end)
  end
end)
