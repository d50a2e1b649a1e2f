---@meta json
-- What editors know of JSON: local json = require("json"). SPDX-License-Identifier: MIT

---@class rt.Null

---@class rt.json
local json = {}

--- null, where a nil would vanish. It is true in a condition: compare with `== json.null`.
---@type rt.Null
json.null = nil

--- Mark `t` (default: a new table) as an array, also when it is empty.
---@param t table?
---@return table
function json.array(t) end

--- Text of `value`. A table whose keys are 1..n is an array, any other an object.
---@param value any
---@param opts { indent: integer? }?  spaces a level; without it one line
---@return string? text, rt.Error? err  INVALID, naming the key path
function json.encode(value, opts) end

--- Value of `text`.
---@param text string
---@return any value, rt.Error? err  INVALID, naming line and column
function json.decode(text) end

return json
