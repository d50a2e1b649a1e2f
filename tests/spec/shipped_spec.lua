--- The capabilities that come along: each has tests, says what it is for, and together they lead
--- from a domain to a finding (C-20) with fakes only. For real: tests/e2e/lab.sh.
-- SPDX-License-Identifier: MIT
local fs = require("fs")
local json = require("json")
local registry = require("registry")
local testing = require("testing")

local SCRIPTS = assert(fs.realpath(arg[0]:gsub("[^/]*$", "") .. "../scripts"))

local function remove_all()
  for _, each in ipairs(registry.list()) do
    registry.unregister(each.name)
  end
end

-- name -> file, of all that is in scripts/
local function shipped()
  local files = {}
  for _, name in ipairs((assert(fs.list(SCRIPTS)))) do
    if name:find("%.lua$") and not name:find("%.test%.lua$") then
      assert(registry.register(SCRIPTS .. "/" .. name))
      for _, each in ipairs(registry.list()) do
        files[each.name] = files[each.name] or name
      end
    end
  end
  return files
end

describe("what is shipped", function()
  after_each(remove_all)

  it("has a test of its own for each capability, which passes", function()
    local files = shipped()
    for name in pairs(files) do
      local path = ("%s/%s.test.lua"):format(SCRIPTS, name)
      assert.is_truthy(fs.stat(path), name .. " has no test: " .. path)
      local report = testing.run({ path })
      assert.equal(0, report.failed, name)
      assert.is_true(report.passed > 1, name .. " has hardly a case")
    end
  end)

  it("says what it is for, and what its options are", function()
    for name in pairs(shipped()) do
      local declared = assert(registry.get(name))
      assert.is_true(#(declared.description or "") > 10, name)
      for option, spec in pairs(declared.options or {}) do
        assert.is_true(#(spec.description or "") > 5, name .. "." .. option)
      end
    end
  end)

  it("fits together: nothing unreachable, from a domain to a finding", function()
    shipped()
    local plan = registry.plan()
    local next_of = {}
    for _, edge in ipairs(plan.edges) do
      next_of[edge.from .. " " .. edge.class] = next_of[edge.from .. " " .. edge.class] or {}
      next_of[edge.from .. " " .. edge.class][edge.to] = true
    end
    assert.is_true(next_of["dns-resolve ipv4"]["port-scan"])
    assert.is_true(next_of["port-scan port"]["http-probe"])
    assert.is_true(next_of["http-probe technology"]["version-check"])
    assert.same({ "finding" }, registry.get("version-check").output)
    assert.is_nil(table.concat(plan.warnings, "\n"):find("unreachable", 1, true))
  end)
end)

-- --- the chain -----------------------------------------------------------------------------------

-- Each step gets what the one before has sent of its class.
local steps = {
  { file = "dns-resolve.lua", class = "domain",
    fakes = [[{ dns = { ["www.example.test"] = { A = { "192.0.2.7" } } } }]] },
  { file = "port-scan.lua", class = "ipv4", options = [[{ ports = "22,8080" }]],
    fakes = [[{ tcp = { ["192.0.2.7:8080"] = true, ["*"] = "refused" } }]] },
  { file = "http-probe.lua", class = "port",
    fakes = [[{ http = { ["https://192.0.2.7:8080/"] = "reset", ["http://192.0.2.7:8080/"] = {
      status = 200, headers = { Server = "nginx/1.18.0" }, body = "<title>Old</title>" } } }]] },
  { file = "version-check.lua", class = "technology",
    options = [[{ minimum = "nginx/1.20" }]], fakes = "{}" },
}

local TEST = [[
local json = require("json")
return { capability = %q, cases = {
  { name = "step", asset = json.decode(%q), options = %s, fakes = %s },
} }
]]

-- What the capability of this step makes of the asset.
local function run_step(folder, step, asset)
  local path = folder .. "/step.test.lua"
  local text = TEST:format(SCRIPTS .. "/" .. step.file, json.encode(asset),
    step.options or "{}", step.fakes)
  assert(fs.write(path, text))
  local case = testing.run({ path }).cases[1]
  assert.same({}, case.differences)
  return case.result.sent
end

local function of_class(sent, class)
  for _, asset in ipairs(sent) do
    if asset.class == class then return asset end
  end
  error("nothing of class " .. class)
end

describe("the chain of C-20", function()
  it("leads from a domain over ipv4, port and technology to findings", function()
    local folder = assert(fs.temp_dir("chain-spec"))
    local asset, sent = { class = "domain", value = "www.example.test" }, nil
    for i, step in ipairs(steps) do
      if i > 1 then asset = of_class(sent, step.class) end
      sent = run_step(folder, step, asset)
    end
    fs.remove(folder, { recursive = true })
    assert.equal(2, #sent)
    assert.same({ "nginx tells its version, 1.18.0", "nginx 1.18.0 is older than 1.20" },
      { sent[1].value, sent[2].value })
    assert.equal("finding", sent[2].class)
    assert.equal("medium", sent[2].metadata.severity)
  end)
end)
