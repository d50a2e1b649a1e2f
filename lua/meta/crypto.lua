---@meta crypto
-- What editors know of digests: local crypto = require("crypto"). SPDX-License-Identifier: MIT

---@alias rt.Form "hex"|"base64"|"base64url"|"raw"

---@class rt.crypto
local crypto = {}

---@param data string
---@param form rt.Form?  "hex"
---@return string
function crypto.md5(data, form) end

---@param data string
---@param form rt.Form?
---@return string
function crypto.sha1(data, form) end

---@param data string
---@param form rt.Form?
---@return string
function crypto.sha224(data, form) end

---@param data string
---@param form rt.Form?
---@return string
function crypto.sha256(data, form) end

---@param data string
---@param form rt.Form?
---@return string
function crypto.sha384(data, form) end

---@param data string
---@param form rt.Form?
---@return string
function crypto.sha512(data, form) end

--- The HMAC of `data` under `key`.
---@param name "md5"|"sha1"|"sha224"|"sha256"|"sha384"|"sha512"
---@param key string
---@param data string
---@param form rt.Form?
---@return string
function crypto.hmac(name, key, data, form) end

--- `n` random bytes (up to 1048576) from the system's generator.
---@param n integer
---@param form rt.Form?  "raw"
---@return string
function crypto.random(n, form) end

--- A random UUID (version 4).
---@return string
function crypto.uuid() end

--- Are two strings equal? Takes the same time wherever they differ.
---@param a string
---@param b string
---@return boolean
function crypto.equal(a, b) end

---@param bytes string
---@return string
function crypto.hex_encode(bytes) end

---@param text string
---@return string? bytes, rt.Error? err
function crypto.hex_decode(text) end

---@param bytes string
---@param opts { url: boolean? }?  url: the alphabet for URLs, without padding
---@return string
function crypto.base64_encode(bytes, opts) end

--- Takes both alphabets, with and without padding; white space is skipped.
---@param text string
---@return string? bytes, rt.Error? err
function crypto.base64_decode(text) end

return crypto
