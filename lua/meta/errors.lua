---@meta errors
-- What editors know of error objects; a global of every script. SPDX-License-Identifier: MIT

---@alias rt.ErrorKind
---| "NOT_FOUND"
---| "ALREADY_EXISTS"
---| "INVALID"
---| "PERMISSION_DENIED"
---| "UNAVAILABLE"
---| "INTERNAL"
---| "CANCELED"
---| "CONFLICT"
---| "TIMEOUT"
---| "RATE_LIMITED"
---| "UNKNOWN"

--- A number of seconds, or text such as "250ms", "5s", "1h30m".
---@alias rt.Duration number|string

--- The second value of whatever fails at run time. `tostring(err)` is its message.
---@class rt.Error
---@operator concat(any): string
local Error = {}

---@return rt.ErrorKind
function Error:kind() end

---@return string
function Error:message() end

--- May the same call succeed later?
---@return boolean
function Error:retryable() end

--- What was given as details.
---@return any
function Error:details() end

--- The traceback of where it was made; "" when the library made it.
---@return string
function Error:stack() end

---@class rt.ErrorSpec
---@field message string?
---@field kind rt.ErrorKind?    UNKNOWN by default
---@field retryable boolean?    false by default
---@field details any

---@class rt.errors
---@field NOT_FOUND "NOT_FOUND"
---@field ALREADY_EXISTS "ALREADY_EXISTS"
---@field INVALID "INVALID"
---@field PERMISSION_DENIED "PERMISSION_DENIED"
---@field UNAVAILABLE "UNAVAILABLE"
---@field INTERNAL "INTERNAL"
---@field CANCELED "CANCELED"
---@field CONFLICT "CONFLICT"
---@field TIMEOUT "TIMEOUT"
---@field RATE_LIMITED "RATE_LIMITED"
---@field UNKNOWN "UNKNOWN"
errors = {}

--- A new error, with the traceback of where it is made.
---@param spec string|rt.ErrorSpec
---@return rt.Error
function errors.new(spec) end

--- The same error with `message` and ": " in front; nil stays nil.
---@param err any
---@param message string
---@return rt.Error?
function errors.wrap(err, message) end

--- Is `err` an error of this kind? False for anything that is no error.
---@param err any
---@param kind rt.ErrorKind
---@return boolean
function errors.is(err, kind) end

return errors
