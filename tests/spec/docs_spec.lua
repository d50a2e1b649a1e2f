--- The Lua in the documentation: all of it compiles; what prints runs, and prints what its "-->"
--- comments say; capabilities, tests and configurations are accepted as they stand there.
local env = require("session_env")
local fs = require("fs")
local registry = require("registry")
local testing = require("testing")

local function documents()
  local list = { "README.md" }
  for _, name in ipairs(assert(fs.list("docs"))) do
    if name:find("%.md$") then list[#list + 1] = "docs/" .. name end
  end
  return list
end

-- {text=, where=} of each block.
local function blocks(path)
  local found, number, open = {}, 0, nil
  for line in io.lines(path) do
    number = number + 1
    if open and line == "```" then
      found[#found + 1], open = open, nil
    elseif open then
      open.text = open.text .. line .. "\n"
    elseif line == "```lua" then
      open = { text = "", where = path .. ":" .. number }
    end
  end
  assert(not open, path .. ": a block has no end")
  return found
end

local all = {}
for _, path in ipairs(documents()) do
  for _, block in ipairs(blocks(path)) do
    all[#all + 1] = block
  end
end

-- The first block of a document with these words.
local function block_with(path, words)
  for _, block in ipairs(all) do
    if block.where:sub(1, #path + 1) == path .. ":" and block.text:find(words, 1, true) then
      return block.text
    end
  end
  error(path .. " has no block with: " .. words)
end

-- Words, however they are laid out.
local function words(text)
  return (text:gsub("[%s,]+", " "):gsub("^ ", ""):gsub(" $", ""))
end

local function said(text)
  local list = {}
  for comment in text:gmatch("%-%-> ([^\n]*)") do
    list[#list + 1] = comment
  end
  return words(table.concat(list, " "))
end

local function printed(block)
  local out = {}
  local globals = setmetatable({
    print = function(...)
      for i = 1, select("#", ...) do
        out[#out + 1] = tostring((select(i, ...)))
      end
    end,
  }, { __index = getfenv(1) })
  local text = block.text:gsub('dir = "data"', ("dir = %q"):format(env.dir .. "/docs"))
  local fn = assert(load(text, "@" .. block.where, "t", globals))
  fn()
  return words(table.concat(out, " "))
end

local folder

local function file(name, text)
  assert(fs.mkdir(folder, { parents = true }))
  local path = folder .. "/" .. name
  assert(fs.write(path, text))
  return path
end

describe("the documentation", function()
  before_each(function()
    folder = env.dir .. "/docs-files"
  end)
  after_each(function()
    fs.remove(folder, { recursive = true })
  end)

  it("has Lua that compiles", function()
    assert.is_true(#all > 10)
    for _, block in ipairs(all) do
      assert(load(block.text, "@" .. block.where))
    end
  end)

  it("prints what it says", function()
    local count = 0
    for _, block in ipairs(all) do
      local expected = said(block.text)
      if expected ~= "" then
        assert.equal(block.where .. " " .. expected, block.where .. " " .. printed(block))
        count = count + 1
      end
    end
    assert.is_true(count >= 4)
  end)

  it("declares capabilities that are accepted", function()
    local count = 0
    for i, block in ipairs(all) do
      if block.text:find("\nreturn capability {") or block.text:find("^return capability {") then
        local path = file("capability-" .. i .. ".lua", block.text)
        local ok, err = registry.register(path)
        assert(ok, block.where .. ": " .. tostring(err))
        assert(registry.unregister(block.text:match('name = "([^"]+)"')))
        count = count + 1
      end
    end
    assert.is_true(count >= 3)
  end)

  it("tests a capability as it says", function()
    file("banner.lua", block_with("docs/testing.md", 'name = "banner"'))
    local path = file("banner.test.lua", block_with("docs/testing.md", "a greeting"))
    local report = assert(testing.run({ path }))
    assert.equal(3, report.passed)
    assert.equal(0, report.failed)
  end)

  it("upgrades a process as it says", function()
    local text = block_with("docs/processes.md", "the new code, with the old state")
    local first = file("counter.lua", text)
    local next_one = file("counter2.lua", (text:gsub("count %+ 1", "count + 100")))
    local counts = process.listen("count")
    local pid = assert(process.spawn(first))
    for _, case in ipairs({ { "more", 1 }, { "more", 2 }, { "upgrade" }, { "more", 102 } }) do
      assert(process.send(pid, case[1], next_one))
      if case[2] then assert.equal(case[2], (counts:receive("30s"))) end
    end
    process.terminate(pid)
    process.unlisten(counts)
  end)
end)
