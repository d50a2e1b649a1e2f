--- crypto - digests, message authentication, random bytes, and their text forms.
-- Digests are hex text unless another form is asked for: "hex", "base64", "base64url" or "raw".
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.crypto")
local errors = require("rt.errors")

local M = {}

local FORMS = {
  hex = core.to_hex,
  base64 = core.to_base64,
  base64url = function(bytes)
    return core.to_base64(bytes, true)
  end,
  raw = function(bytes)
    return bytes
  end,
}

local DIGESTS = {
  md5 = true,
  sha1 = true,
  sha224 = true,
  sha256 = true,
  sha384 = true,
  sha512 = true,
}

local function digest(name)
  return function(data, form)
    check.string(data, 1, name)
    local shape = FORMS[check.optional_one_of(form, 2, name, FORMS) or "hex"]
    local bytes, err = core.digest(name, data)
    if not bytes then return nil, err end
    return shape(bytes)
  end
end

---@alias rt.Digest fun(data: string, form: string?): string
M.md5 = digest("md5") ---@type rt.Digest
M.sha1 = digest("sha1") ---@type rt.Digest
M.sha224 = digest("sha224") ---@type rt.Digest
M.sha256 = digest("sha256") ---@type rt.Digest
M.sha384 = digest("sha384") ---@type rt.Digest
M.sha512 = digest("sha512") ---@type rt.Digest

--- The HMAC of `data` under `key`.
---@param name string  the digest: "sha256" and so on
---@return string
function M.hmac(name, key, data, form)
  check.string(name, 1, "hmac")
  check.optional_one_of(name, 1, "hmac", DIGESTS)
  check.string(key, 2, "hmac")
  check.string(data, 3, "hmac")
  local shape = FORMS[check.optional_one_of(form, 4, "hmac", FORMS) or "hex"]
  local bytes, err = core.hmac(name, key, data)
  if not bytes then return nil, err end
  return shape(bytes)
end

--- `n` random bytes (up to 1048576) from the system's generator.
---@param n integer
---@param form string?  "raw" unless given
---@return string
function M.random(n, form)
  check.integer(n, 1, "random")
  if n < 0 or n > 1048576 then check.fail(1, "random", "0 to 1048576 expected") end
  local shape = FORMS[check.optional_one_of(form, 2, "random", FORMS) or "raw"]
  local bytes, err = core.random(n)
  if not bytes then return nil, err end
  return shape(bytes)
end

--- A random UUID (version 4).
---@return string
function M.uuid()
  local h = core.to_hex(core.random(16))
  local k = tonumber(h:sub(17, 17), 16) % 4 + 1
  return table.concat({
    h:sub(1, 8),
    h:sub(9, 12),
    "4" .. h:sub(14, 16),
    ("89ab"):sub(k, k) .. h:sub(18, 20),
    h:sub(21, 32),
  }, "-")
end

--- Are two strings equal? Takes the same time wherever they differ.
---@return boolean
function M.equal(a, b)
  return core.equal(check.string(a, 1, "equal"), check.string(b, 2, "equal"))
end

---@param bytes string
---@return string
function M.hex_encode(bytes)
  return core.to_hex(check.string(bytes, 1, "hex_encode"))
end

---@param text string
---@return string? bytes, rt.Error? err  INVALID for what is no hex
function M.hex_decode(text)
  local bytes = core.from_hex(check.string(text, 1, "hex_decode"))
  if not bytes then return nil, errors.make("crypto: no hex text", "INVALID") end
  return bytes
end

---@param bytes string
---@param opts {url: boolean?}?  url: the alphabet for URLs, without padding
---@return string
function M.base64_encode(bytes, opts)
  check.string(bytes, 1, "base64_encode")
  check.optional_table(opts, 2, "base64_encode")
  return core.to_base64(bytes, opts ~= nil and opts.url == true)
end

--- Takes both alphabets, with and without padding; white space is skipped.
---@param text string
---@return string? bytes, rt.Error? err  INVALID for what is no base64
function M.base64_decode(text)
  local bytes = core.from_base64(check.string(text, 1, "base64_decode"))
  if not bytes then return nil, errors.make("crypto: no base64 text", "INVALID") end
  return bytes
end

return M
