--- Tests of words.lua:  runtime test examples/capabilities
-- SPDX-License-Identifier: MIT
return {
  capability = "words.lua",
  name = "measure", -- the file has two
  cases = {
    {
      name = "a word gives its length",
      asset = { class = "word", value = "quick" },
      expect = { { class = "length", value = "5" } },
    },
    {
      name = "short words are left out",
      asset = { class = "word", value = "fox" },
      reason = "too short",
    },
    {
      name = "what is short can be set",
      asset = { class = "word", value = "fox" },
      options = { least = 3 },
      expect = { { class = "length", value = "3" } },
    },
  },
}
