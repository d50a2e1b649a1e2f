--- errors - error objects: what every function answers as `nil, err` when it fails at run time.
-- An error has a kind, on which code decides, and a message, which people read.
-- SPDX-License-Identifier: MIT
local errors = require("rt.errors")

local M = {}

-- errors.NOT_FOUND and so on.
for _, kind in ipairs(errors.kinds) do
  M[kind] = kind
end

--- A new error, with the traceback of where it is made.
---@param spec string|{message:string?, kind:string?, retryable:boolean?, details:any}
---@return rt.Error
M.new = errors.new

--- The same error with `message` and ": " in front; kind, retryable and details are kept. What is
-- no error object becomes one of kind UNKNOWN; nil stays nil.
---@param err any
---@param message string
---@return rt.Error?
M.wrap = errors.wrap

--- Is `err` an error of this kind? False for anything that is no error.
---@param err any
---@param kind string
---@return boolean
M.is = errors.is

return M
