--- Tests of version-check; run with `runtime test scripts`.
-- SPDX-License-Identifier: MIT
local function technology(value)
  return { class = "technology", value = value }
end

local function told(text)
  return { class = "finding", value = text, metadata = { severity = "info" } }
end

return {
  capability = "version-check.lua",
  cases = {
    {
      name = "a version is told",
      asset = technology("nginx/1.25.3 (Ubuntu)"),
      expect = { told("nginx tells its version, 1.25.3") },
    },
    {
      name = "versions are compared as numbers",
      asset = technology("Nginx/1.9.15"),
      options = { minimum = "php/8.1, nginx/1.18" },
      expect = {
        told("Nginx tells its version, 1.9.15"),
        {
          class = "finding",
          value = "Nginx 1.9.15 is older than 1.18",
          metadata = { severity = "medium", minimum = "1.18" },
        },
      },
    },
    {
      name = "what is new enough is no second finding",
      asset = technology("PHP/8.1.0"),
      options = { minimum = "php/8.1" },
      expect = { told("PHP tells its version, 8.1.0") },
    },
    {
      name = "a generator with a space",
      asset = technology("WordPress 6.4"),
      expect = { told("WordPress tells its version, 6.4") },
    },
    { name = "no version", asset = technology("Apache"), reason = "names no version", expect = {} },
    {
      name = "a list that is none",
      asset = technology("nginx/1.25"),
      options = { minimum = "nginx" },
      error = "expected NAME/VERSION, got 'nginx'",
      expect = {},
    },
  },
}
