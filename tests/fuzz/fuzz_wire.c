/* fuzz_wire.c - bytes that claim to be a value in its wire form (MessagePack):
 * refused, or read, written and read again with the same result.
 * SPDX-License-Identifier: MIT */
#include "value.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  rt_value *value;
  rt_error err = RT_ERROR_INIT;
  if (rt_value_from_data(&value, data, size, &err) != RT_OK) {
    if (!*err.message) abort();
    return 0;
  }
  check_view(rt_value_view(value));
  check_json(value);
  check_copy(value);
  rt_value_unref(value);
  return 0;
}
