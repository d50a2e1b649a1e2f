/* rt/value.h - immutable data: what events, assets, messages and results carry.
 *
 * A value is nil, a boolean, an integer, a number, a string (bytes), an array
 * or a map with string or integer keys, held in one reference-counted block in
 * MessagePack form. It never changes, so any thread may read it and share it.
 * A view borrows from a value and is good while that value is referenced.
 * [any] marks calls any thread may make, [one] those for one thread at a time.
 * [own]: who gets it releases it; what is handed in is looked at or referenced,
 * never taken.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_VALUE_H
#define RT_VALUE_H

#include "rt/status.h"

RT_BEGIN_DECL

typedef struct rt_value rt_value;
typedef struct rt_builder rt_builder;

typedef enum rt_type {
  RT_NIL,
  RT_BOOL,
  RT_INT,
  RT_NUMBER,
  RT_STRING,
  RT_ARRAY,
  RT_MAP
} rt_type;

/* Deepest nesting of arrays and maps that is built, parsed or decoded. */
#define RT_VALUE_MAX_DEPTH 128

/* [any] One reference more (returns its argument, which is [own] once more) or
 * less; NULL is allowed. Never fails. */
RT_API rt_value *rt_value_ref(const rt_value *value);
RT_API void rt_value_unref(rt_value *value);

/* [any] The wire form: its bytes [borrowed] and their number. */
RT_API const void *rt_value_data(const rt_value *value);
RT_API size_t rt_value_size(const rt_value *value);
/* [any] A value [own] from bytes of wire form, which are checked whole:
 * RT_EINVAL for what is no single well-formed value, is nested too deep or has
 * extension types. */
RT_API rt_err rt_value_from_data(rt_value **out, const void *data, size_t size,
                                 rt_error *err);
/* [any] From and to JSON text. `*out` is [own], `*text` too and released with
 * rt_free(), both NULL on failure; bytes that are no UTF-8 become U+FFFD; a
 * number that is not finite becomes null. RT_EINVAL: no JSON, or nested too
 * deep; RT_ENOMEM. */
RT_API rt_err rt_value_from_json(rt_value **out, const char *text, size_t size,
                                 rt_error *err);
RT_API rt_err rt_value_to_json(char **text, size_t *size, const rt_value *value,
                               rt_error *err);
/* [any] A string value [own]; NULL when memory is short. */
RT_API rt_value *rt_value_string(const char *text, size_t size);
/* [any] Same bytes? Both NULL is the same. */
RT_API bool rt_value_equal(const rt_value *a, const rt_value *b);

/* --- reading ----------------------------------------------------------
 * [any] All these calls only look, and never fail: what is not there, or of
 * another type, is nil, empty or the fallback. What they give is [borrowed]
 * from the value. */
typedef struct rt_view {
  const unsigned char *at; /* NULL: nil */
  const unsigned char *end;
} rt_view;

typedef struct rt_iter {
  rt_view next;
  uint32_t left; /* items (of an array) or pairs (of a map) to come */
  bool map;
} rt_iter;

/* A view of a whole value; of NULL it is nil. */
RT_API rt_view rt_value_view(const rt_value *value);
RT_API rt_type rt_view_type(rt_view view);
/* What the view holds, or `fallback` when it is of another type. An integral
 * number counts as an integer, an integer as a number. */
RT_API bool rt_view_bool(rt_view view, bool fallback);
RT_API int64_t rt_view_int(rt_view view, int64_t fallback);
RT_API double rt_view_number(rt_view view, double fallback);
/* The bytes of a string, NOT terminated, or NULL for another type; `*size`
 * (may not be NULL) gets their number. */
RT_API const char *rt_view_string(rt_view view, size_t *size);
/* Items of an array or pairs of a map; else 0. */
RT_API uint32_t rt_view_count(rt_view view);
/* The member named `key` of a map, or item `index` (from 0) of an array; nil
 * when there is none. Costs a walk. */
RT_API rt_view rt_view_get(rt_view map, const char *key);
RT_API rt_view rt_view_at(rt_view array, uint32_t index);
/* Walk: rt_iter_of() on an array or map (else empty), then rt_iter_next()
 * until false; `key` is a view of the key, or of nil in an array, and may be
 * NULL. */
RT_API rt_iter rt_iter_of(rt_view view);
RT_API bool rt_iter_next(rt_iter *iter, rt_view *key, rt_view *item);
/* A value [own] that holds a copy of what the view shows. RT_ENOMEM; RT_EINVAL
 * for a view of nothing. */
RT_API rt_err rt_view_copy(rt_value **out, rt_view view, rt_error *err);

/* --- building ---------------------------------------------------------
 * [one] A builder belongs to one thread at a time, and is [own] to who made it.
 * Errors (no memory, wrong nesting, a key missing) stick to the builder and
 * are told by rt_builder_finish(). */
/* NULL when memory is short. Free allows NULL; reset empties it. */
RT_API rt_builder *rt_builder_new(void);
RT_API void rt_builder_free(rt_builder *builder);
RT_API void rt_builder_reset(rt_builder *builder);
/* One value each: the next item of an array, or the value of the last key. Text
 * and values are copied. */
RT_API void rt_builder_nil(rt_builder *builder);
RT_API void rt_builder_bool(rt_builder *builder, bool value);
RT_API void rt_builder_int(rt_builder *builder, int64_t value);
RT_API void rt_builder_number(rt_builder *builder, double value);
RT_API void rt_builder_string(rt_builder *builder, const char *text);
RT_API void rt_builder_lstring(rt_builder *builder, const char *text,
                               size_t size);
RT_API void rt_builder_view(rt_builder *builder, rt_view view);
RT_API void rt_builder_value(rt_builder *builder, const rt_value *value);
/* What follows goes into it, until rt_builder_end(). */
RT_API void rt_builder_begin_array(rt_builder *builder);
RT_API void rt_builder_begin_map(rt_builder *builder);
/* In a map each value comes after its key (a string here, or any integer or
 * string put with the calls above). */
RT_API void rt_builder_key(rt_builder *builder, const char *key);
RT_API void rt_builder_end(rt_builder *builder);
/* `*out` [own] is what was built, NULL on failure; the builder is empty again.
 * RT_EINVAL when that is not exactly one complete value. */
RT_API rt_err rt_builder_finish(rt_builder *builder, rt_value **out,
                                rt_error *err);

RT_END_DECL
#endif
