---@meta channel
-- What editors know of channels; a global of every script. SPDX-License-Identifier: MIT

--- Hands values between the coroutines of one process.
---@class rt.Channel
local Channel = {}

--- Hand over a value; waits while there is no room. Raises on a closed channel.
---@param value any
---@return true
function Channel:send(value) end

--- The next value and true; nil, false when closed and empty; nil, nil and TIMEOUT.
---@param timeout rt.Duration?  0: do not wait
---@return any value, boolean? ok, rt.Error? err
function Channel:receive(timeout) end

--- Nothing can be sent any more; what is buffered stays readable. Idempotent.
function Channel:close() end

--- For select: receive from this channel.
---@return rt.ChannelCase
function Channel:case_receive() end

--- For select: send `value` into this channel.
---@param value any
---@return rt.ChannelCase
function Channel:case_send(value) end

--- `for v in ch:values() do`: every value until the channel is closed and empty.
---@return fun(ch: rt.Channel): any
---@return rt.Channel
function Channel:values() end

---@class rt.ChannelCase

---@class rt.Cases
---@field [integer] rt.ChannelCase
---@field default boolean?      do not wait: {default=true, ok=true} when no case is ready
---@field timeout rt.Duration?  {timeout=true} when none became ready in time

---@class rt.Selected
---@field channel rt.Channel?  of the case that went on
---@field value any            what was received
---@field ok boolean?          false: received from a closed channel
---@field default true?
---@field timeout true?

---@class rt.channel
channel = {}

--- A channel that buffers `n` values; 0, the default: a send waits for its receiver.
---@param n integer?
---@return rt.Channel
function channel.new(n) end

--- Wait for the first of several sends and receives that can go on.
---@param cases rt.Cases
---@return rt.Selected
function channel.select(cases) end

return channel
