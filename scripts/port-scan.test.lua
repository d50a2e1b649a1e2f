--- Tests of port-scan; run with `runtime test scripts`.
-- SPDX-License-Identifier: MIT
local address = { class = "ipv4", value = "192.0.2.7" }
local tcp = { ["192.0.2.7:22"] = true, ["192.0.2.7:443"] = true, ["*"] = "refused" }

return {
  capability = "port-scan.lua",
  options = { ports = "22,80,443" },
  cases = {
    {
      name = "open ports of an address",
      asset = address,
      fakes = { tcp = tcp },
      expect = {
        {
          class = "port",
          value = "192.0.2.7:22",
          metadata = { address = "192.0.2.7", port = 22, state = "open" },
        },
        { class = "port", value = "192.0.2.7:443" },
      },
      calls = {
        "tcp.connect 192.0.2.7:22", "tcp.connect 192.0.2.7:80", "tcp.connect 192.0.2.7:443",
      },
    },
    {
      name = "a name at an address gives ports under that name",
      asset = { class = "host", value = "www.example.test@192.0.2.7" },
      fakes = { tcp = tcp },
      expect = {
        {
          class = "port",
          value = "192.0.2.7:22",
          key = "port:www.example.test@192.0.2.7:22",
          metadata = { name = "www.example.test" },
        },
        { class = "port", value = "192.0.2.7:443", metadata = { name = "www.example.test" } },
      },
    },
    {
      name = "ports that do not answer cost their time-out, side by side",
      asset = address,
      options = { timeout = "2s", parallel = 2 },
      fakes = { tcp = { ["*"] = "timeout" } },
      expect = {},
      check = function(result)
        assert(result.time == 4, "3 ports, 2 at a time: 4 s, got " .. result.time)
      end,
    },
    {
      name = "a range of ports",
      asset = address,
      options = { ports = "20-22" },
      fakes = { tcp = tcp },
      expect = { { class = "port", value = "192.0.2.7:22" } },
    },
    {
      name = "what is no port is told",
      asset = address,
      options = { ports = "http" },
      fakes = { tcp = tcp },
      error = { kind = "INVALID", message = "'http' is no port or range of ports" },
    },
    {
      name = "an IPv6 address is not for it",
      asset = { class = "host", value = "www.example.test@2001:db8::1" },
      reason = "not an IPv4 address",
    },
  },
}
