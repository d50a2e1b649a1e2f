-- What the library does in Lua for C names the script's line in its errors, with the words of C:
-- that of a match that takes long, and goes on in Lua, is that of a short one.
local LONG = ("a"):rep(350) .. "bc" -- takes some ten million steps
local HARD = "^[ab]-a-a-c"

-- The error of fn(text), which is raised on one and the same line whatever the text.
local function error_of(fn, text)
  local ok, words = pcall(fn, text)
  assert.is_false(ok)
  return words
end

local matches = {
  { "invalid capture index", function(s) local at = s:find(HARD .. "%2") return at end },
  { "unfinished capture", function(s) local all = s:match(HARD .. "(") return all end },
  { "invalid pattern capture", function(s) local at = s:find(HARD .. ")") return at end },
  { "malformed pattern (missing ']')", function(s) local at = s:find(HARD .. "[x") return at end },
  { "unbalanced pattern", function(s) local at = s:find(HARD .. "%b") return at end },
  { "invalid replacement value (a table)", function(s)
    local text = s:gsub(HARD, setmetatable({}, { __index = function() return {} end }))
    return text
  end },
  { "invalid capture index", function(s) local text = s:gsub(HARD .. "%2", "") return text end },
  { "unfinished capture", function(s) local at = s:gmatch("[ab]-a-a-c(")() return at end },
}

local sorts = {
  { "invalid order function for sorting", function(t)
    table.sort(t, function() return true end)
  end },
  { "attempt to compare number with table", function(t)
    table.sort(t, function(a) return a < {} end)
  end },
}

describe("the error of", function()
  for i, case in ipairs(matches) do
    it(("a match, short or long: %s (%d)"):format(case[1], i), function()
      local short = error_of(case[2], "bc")
      assert.matches("words_spec.lua:%d+: " .. case[1]:gsub("%p", "%%%0") .. "$", short)
      assert.equal(short, error_of(case[2], LONG))
    end)
  end

  for i, case in ipairs(sorts) do
    it(("a sort: %s (%d)"):format(case[1], i), function()
      local t = {}
      for k = 1, 20000 do t[k] = k end
      assert.matches("words_spec.lua:%d+: " .. case[1]:gsub("%p", "%%%0") .. "$",
        error_of(case[2], t))
    end)
  end

  it("what cannot be compared has no line, as from C", function()
    local mixed, many = { 3, 2, {}, 1 }, {}
    for k = 1, 20000 do many[k] = k end
    many[7] = {}
    assert.equal("attempt to compare two table values", error_of(table.sort, { {}, {} }))
    assert.matches("^attempt to compare %a+ with %a+$", error_of(table.sort, mixed))
    assert.matches("^attempt to compare %a+ with %a+$", error_of(table.sort, many))
  end)

  it("a function that C called has none either", function()
    local ok, words = pcall(string.gsub, "abc", "(b", function() end)
    assert.is_false(ok)
    assert.equal("unfinished capture", words)
  end)

  it("a pattern is right at the second use, too", function()
    for _ = 1, 2 do
      assert.same({ "x", 1 }, { ("abc"):gsub("(a)(b)%f[c]c", function() return "x" end) })
      local words = error_of(function(s) local t = s:gsub("[b", function() end) return t end, "b")
      assert.matches("words_spec.lua:%d+: malformed pattern %(missing ']'%)$", words)
    end
  end)

  it("concat names the function, however many there are", function()
    local t = {}
    for k = 1, 20000 do t[k] = k end
    local words = error_of(function(list) local s = table.concat(list, {}) return s end, t)
    assert.matches("words_spec.lua:%d+: bad argument #2 to 'concat' %(string expected", words)
  end)

  it("getfenv names the script", function()
    local words = error_of(function() return (getfenv(100)) end)
    assert.matches("words_spec.lua:%d+: bad argument #1 to 'getfenv' %(invalid level%)$", words)
    for _, level in ipairs({ -1, 0.5, 0 / 0 }) do -- not the library's own functions
      assert.matches("words_spec.lua:%d+: bad argument #1 to 'getfenv' %(invalid level%)$",
        error_of(function() return (getfenv(level)) end))
      assert.matches("words_spec.lua:%d+: bad argument #1 to 'setfenv' %(invalid level%)$",
        error_of(function() return (setfenv(level, {})) end))
    end
    words = error_of(function() return (getfenv({})) end)
    assert.matches("words_spec.lua:%d+: bad argument #1 to 'getfenv' %(number expected", words)
  end)
end)
