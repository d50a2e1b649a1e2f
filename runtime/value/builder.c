/* builder.c - making values piece by piece (rt/value.h).
 *
 * Items are packed into one buffer. A container starts with one byte set aside
 * for its head; when it ends and turns out to need more, its content moves up.
 * One thread at a time. SPDX-License-Identifier: MIT */
#include <msgpack/pack.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "value/wire.h"

/* A buffer larger than this is given back after use. */
#define KEEP_BYTES ((size_t)1 << 20)

typedef struct level {
  size_t start; /* where its head is */
  uint32_t count;
  bool map, keyed; /* keyed: a value must come next */
} level;

struct rt_builder {
  rt__buf out;
  msgpack_packer pack;
  unsigned depth; /* open containers */
  bool complete;  /* one whole value is there */
  const char *fault;
  rt_err code;
  level open[RT_VALUE_MAX_DEPTH];
};

static int write_bytes(void *arg, const char *bytes, size_t size) {
  rt__buf_append(arg, bytes, size);
  return 0;
}

rt_builder *rt_builder_new(void) {
  rt_builder *b = malloc(sizeof(*b));
  if (!b) return NULL;
  memset(b, 0, offsetof(rt_builder, open));
  msgpack_packer_init(&b->pack, &b->out, write_bytes);
  return b;
}

void rt_builder_free(rt_builder *b) {
  if (!b) return;
  rt__buf_deinit(&b->out);
  free(b);
}

void rt_builder_reset(rt_builder *b) {
  if (b->out.room > KEEP_BYTES)
    rt__buf_deinit(&b->out);
  else
    rt__buf_clear(&b->out);
  b->depth = 0;
  b->complete = false;
  b->fault = NULL;
}

static bool fault(rt_builder *b, rt_err code, const char *why) {
  if (!b->fault) {
    b->fault = why;
    b->code = code;
  }
  return false;
}

/* May an item be put here? Notes that it was. `keyable`: string or integer. */
static bool admit(rt_builder *b, bool keyable) {
  if (b->fault) return false;
  if (b->depth == 0) {
    if (b->complete) return fault(b, RT_EINVAL, "more than one value");
    b->complete = true;
    return true;
  }
  level *l = &b->open[b->depth - 1];
  if (l->map && !l->keyed) {
    if (!keyable) return fault(b, RT_EINVAL, "a key is missing");
    l->keyed = true;
    return true;
  }
  if (l->count == UINT32_MAX) return fault(b, RT_EINVAL, "too many items");
  l->keyed = false;
  l->count++;
  return true;
}

void rt_builder_nil(rt_builder *b) {
  if (admit(b, false)) msgpack_pack_nil(&b->pack);
}

void rt_builder_bool(rt_builder *b, bool value) {
  if (!admit(b, false)) return;
  if (value)
    msgpack_pack_true(&b->pack);
  else
    msgpack_pack_false(&b->pack);
}

void rt_builder_int(rt_builder *b, int64_t value) {
  if (admit(b, true)) msgpack_pack_int64(&b->pack, value);
}

void rt_builder_number(rt_builder *b, double value) {
  if (admit(b, false)) msgpack_pack_double(&b->pack, value);
}

void rt_builder_string(rt_builder *b, const char *text) {
  rt_builder_lstring(b, text, strlen(text));
}

void rt_builder_lstring(rt_builder *b, const char *text, size_t size) {
  if (size > UINT32_MAX) {
    fault(b, RT_EINVAL, "a string is too long");
    return;
  }
  if (!admit(b, true)) return;
  msgpack_pack_str(&b->pack, size);
  msgpack_pack_str_body(&b->pack, text, size);
}

void rt_builder_view(rt_builder *b, rt_view view) {
  rt_type type = rt_view_type(view);
  if (!view.at) {
    rt_builder_nil(b);
    return;
  }
  const unsigned char *end =
      rt__wire_skip(view.at, view.end, RT_VALUE_MAX_DEPTH - b->depth);
  if (!end) {
    fault(b, RT_EINVAL, "nested too deep");
    return;
  }
  if (admit(b, type == RT_STRING || type == RT_INT))
    rt__buf_append(&b->out, view.at, (size_t)(end - view.at));
}

void rt_builder_value(rt_builder *b, const rt_value *value) {
  rt_builder_view(b, rt_value_view(value));
}

static void begin(rt_builder *b, bool map) {
  if (b->depth == RT_VALUE_MAX_DEPTH) {
    fault(b, RT_EINVAL, "nested too deep");
    return;
  }
  if (!admit(b, false)) return;
  b->open[b->depth++] = (level){b->out.size, 0, map, false};
  rt__buf_putc(&b->out, 0);
}

void rt_builder_begin_array(rt_builder *b) {
  begin(b, false);
}
void rt_builder_begin_map(rt_builder *b) {
  begin(b, true);
}

rt__buf *rt__builder_slot(rt_builder *b, unsigned *depth) {
  *depth = b->depth;
  return admit(b, false) ? &b->out : NULL;
}

void rt_builder_key(rt_builder *b, const char *key) {
  level *l = b->depth ? &b->open[b->depth - 1] : NULL;
  if (!l || !l->map || l->keyed)
    fault(b, RT_EINVAL, "a key where none belongs");
  else
    rt_builder_string(b, key);
}

void rt_builder_end(rt_builder *b) {
  if (b->fault) return;
  if (b->depth == 0) {
    fault(b, RT_EINVAL, "an end without a begin");
    return;
  }
  level *l = &b->open[b->depth - 1];
  if (l->keyed) {
    fault(b, RT_EINVAL, "a key without a value");
    return;
  }
  b->depth--;
  rt__wire_seal(&b->out, l->start, l->map, l->count);
}

/* Is there exactly one complete value? */
static rt_err settle(rt_builder *b, rt_error *err) {
  if (b->out.failed) fault(b, RT_ENOMEM, "no memory");
  if (b->depth > 0) fault(b, RT_EINVAL, "an array or map is not ended");
  if (!b->complete) fault(b, RT_EINVAL, "nothing was built");
  return b->fault ? rt_fail(err, b->code, "value: %s", b->fault) : RT_OK;
}

rt_err rt__builder_peek(rt_builder *b, const unsigned char **data, size_t *size,
                        rt_error *err) {
  rt_err rc = settle(b, err);
  *data = (const unsigned char *)b->out.data;
  *size = b->out.size;
  if (rc != RT_OK) rt_builder_reset(b);
  return rc;
}

rt_err rt_builder_finish(rt_builder *b, rt_value **out, rt_error *err) {
  unsigned char *to;
  rt_err rc = settle(b, err);
  *out = NULL;
  if (rc == RT_OK && !(*out = rt__value_alloc(b->out.size, &to)))
    rc = rt_fail(err, RT_ENOMEM, "value: no memory");
  if (rc == RT_OK) memcpy(to, b->out.data, b->out.size);
  rt_builder_reset(b);
  return rc;
}
