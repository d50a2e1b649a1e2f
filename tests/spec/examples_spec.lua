--- Every example runs and prints what it promises.
-- SPDX-License-Identifier: MIT
local exec = require("exec")
local fs = require("fs")

local RUNTIME = assert(fs.realpath("/proc/self/exe"))
local EXAMPLES = arg[0]:gsub("[^/]*$", "") .. "../examples/"

local expected = {
  ["hello.lua"] = "^hello, world, from process %S+\n$",
  ["channels.lua"] = "^sum of squares: 9045050\nfirst: quick\n$",
  ["events.lua"] = "^order%.placed\torder%-1\t25\norder%.shipped\torder%-1\t%-\n"
    .. "payment accepted: true\nevents counted: 4\n$",
  ["processes.lua"] = "^11 squared is 121\n12 squared is 144\nthe worker ended: I do not like 13\n"
    .. "14 squared is 196\n15 squared is 225\n4! is 24\nrestarts: 1\n$",
  ["supervisor.lua"] = "^sums: 1 3\napp/counter failed: 3 is too much\ncounter is up again\n"
    .. "counter\tworker\trunning\t1\npool\tsupervisor\trunning\t0\nended in reverse: w2 w1\n$",
  ["server.lua"] = "^1000 requests answered\n$",
}

describe("examples", function()
  for _, name in ipairs((assert(fs.list(EXAMPLES)))) do
    if name:find("%.lua$") then
      it(name, function()
        local result = assert(exec.run(RUNTIME, { EXAMPLES .. name }, { timeout = 120 }))
        assert.equal(0, result.code, result.stderr)
        assert.is_string(expected[name], "no expectation for " .. name)
        assert.matches(expected[name], result.stdout)
      end)
    end
  end
end)
