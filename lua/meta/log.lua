---@meta log
-- What editors know of the log: local log = require("log"). SPDX-License-Identifier: MIT

---@class rt.log
local log = {}

---@param message string|rt.Error
---@param fields table<string, any>?  plain values by name
---@return true? ok, rt.Error? err
function log.debug(message, fields) end

---@param message string|rt.Error
---@param fields table<string, any>?
---@return true? ok, rt.Error? err
function log.info(message, fields) end

---@param message string|rt.Error
---@param fields table<string, any>?
---@return true? ok, rt.Error? err
function log.warn(message, fields) end

---@param message string|rt.Error
---@param fields table<string, any>?
---@return true? ok, rt.Error? err
function log.error(message, fields) end

return log
