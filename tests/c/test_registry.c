/* test_registry.c - capabilities in C and Lua, the class index, the plan.
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "registry/capability.h"

static void invoke(rt_job *job, void *arg) {
  (void)job, (void)arg;
}

static rt_registry *new_registry(void) {
  rt_registry *r;
  assert_int_equal(rt__registry_new(&r, NULL, NULL), RT_OK);
  return r;
}

static rt_err add(rt_registry *r, const char *name, const char *input,
                  const char *output, int priority, rt_error *err) {
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  o.name = name;
  o.input = &input;
  o.input_count = input ? 1 : 0;
  o.output = &output;
  o.output_count = output ? 1 : 0;
  o.priority = priority;
  o.invoke = invoke;
  return rt_registry_add(r, &o, err);
}

static void add_ok(rt_registry *r, const char *name, const char *input,
                   const char *output, int priority) {
  rt_error err = RT_ERROR_INIT;
  if (add(r, name, input, output, priority, &err) != RT_OK)
    fail_msg("%s", err.message);
}

static void assert_json(rt_value *value, const char *expected) {
  char *text;
  size_t size;
  assert_int_equal(rt_value_to_json(&text, &size, value, NULL), RT_OK);
  char *copy = calloc(1, size + 1);
  memcpy(copy, text, size);
  assert_string_equal(copy, expected);
  free(copy);
  rt_free(text);
  rt_value_unref(value);
}

static void assert_tasks(rt_registry *r, const char *class_,
                         const char *expected) {
  rt_value *names;
  assert_int_equal(rt_registry_target_tasks(r, class_, &names, NULL), RT_OK);
  assert_json(names, expected);
}

static void test_targets_by_priority_then_registration(void **state) {
  (void)state;
  rt_registry *r = new_registry();
  add_ok(r, "late", "domain", NULL, 9);
  add_ok(r, "second", "*", NULL, 0);
  add_ok(r, "third", "(domain|ipv4)", NULL, 5);
  add_ok(r, "first", "domain", NULL, -3);
  assert_tasks(r, "domain", "[\"first\",\"second\",\"third\",\"late\"]");
  assert_tasks(r, "ipv4", "[\"second\",\"third\"]");
  assert_tasks(r, "Domain", "[\"second\"]");
  assert_int_equal(rt_registry_remove(r, "second", NULL), RT_OK);
  assert_tasks(r, "other", "[]");
  rt__registry_free(r);
}

static void test_refuses_faults(void **state) {
  (void)state;
  rt_registry *r = new_registry();
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(add(r, "", "a", NULL, 0, &err), RT_EINVAL);
  assert_non_null(strstr(err.message, "name"));
  assert_int_equal(add(r, "a b", "a", NULL, 0, &err), RT_EINVAL);
  assert_int_equal(add(r, "a", NULL, NULL, 0, &err), RT_EINVAL);
  assert_non_null(strstr(err.message, "input"));
  assert_int_equal(add(r, "a", "", NULL, 0, &err), RT_EINVAL);
  add_ok(r, "a", "a", NULL, 0);
  assert_int_equal(add(r, "a", "b", NULL, 0, &err), RT_EEXIST);
  assert_int_equal(rt_registry_remove(r, "b", &err), RT_ENOTFOUND);
  rt_value *value;
  assert_int_equal(rt_registry_get(r, "b", &value, &err), RT_ENOTFOUND);
  assert_int_equal(rt_registry_target_tasks(r, "", &value, &err), RT_EINVAL);
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  o.name = "b";
  assert_int_equal(rt_registry_add(r, &o, &err), RT_EINVAL);
  assert_non_null(strstr(err.message, "invoke"));
  rt__registry_free(r);
}

static rt_err add_lua(rt_registry *r, const char *json, const char *file,
                      bool backfill) {
  rt_value *map;
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(rt_value_from_json(&map, json, strlen(json), &err), RT_OK);
  rt_err rc =
      rt__registry_add_lua(r, map, file, "return 1", 8, 1, backfill, &err);
  rt_value_unref(map);
  return rc;
}

static void test_lua_declaration_is_unpacked(void **state) {
  (void)state;
  rt_registry *r = new_registry();
  assert_int_equal(
      add_lua(r,
              "{\"name\":\"x\",\"input\":[\"a\",\"b\"],\"output\":[\"c\"],"
              "\"priority\":12,\"timeout\":false,\"retries\":2,\"rate\":2.5,"
              "\"max_instances\":7,\"has_match\":true}",
              "x.lua", false),
      RT_OK);
  assert_int_equal(
      add_lua(r, "{\"name\":\"y\",\"input\":[\"a\"]}", NULL, false), RT_OK);
  rt_capability **all;
  size_t count;
  assert_int_equal(rt__registry_all(r, &all, &count), RT_OK);
  assert_int_equal(count, 2);
  assert_string_equal(all[0]->name, "y"); /* 5 before 9 */
  assert_true(all[0]->timeout == 3600);
  assert_null(all[0]->file);
  const rt_capability *x = all[1];
  assert_int_equal(x->priority, 9);
  assert_true(x->timeout < 0);
  assert_int_equal(x->retries, 2);
  assert_int_equal(x->max_instances, 7);
  assert_true(x->rate == 2.5);
  assert_true(x->has_match && !x->has_rate_key && !x->has_prioritize);
  assert_string_equal(x->file, "x.lua");
  assert_string_equal(x->source, "return 1");
  assert_true(rt__capability_takes(x, "b", 1));
  assert_false(rt__capability_takes(x, "c", 1));
  assert_true(rt__capability_sends(x, "c", 1));
  rt_value *map;
  assert_int_equal(rt_registry_get(r, "x", &map, NULL), RT_OK);
  size_t size;
  assert_memory_equal(
      rt_view_string(rt_view_get(rt_value_view(map), "file"), &size), "x.lua",
      5);
  rt_value_unref(map);
  rt__registry_free(r); /* references outlive the registry */
  for (size_t i = 0; i < count; i++) rt__capability_unref(all[i]);
  rt_free(all);
}

static rt_err add_every(rt_registry *r, const char *every, rt_error *err) {
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  o.name = "beat";
  o.invoke = invoke;
  o.every = every;
  return rt_registry_add(r, &o, err);
}

static void test_times_in_c(void **state) {
  static const char *const faulty[] = {"",     "5",  "often",        "1ms",
                                       "-1h",  "1y", "0 3 * *",      "@often",
                                       "0 3x", " ",  "99 * * * mon", "0s"};
  static const struct {
    const char *every;
    double seconds;
  } good[] = {{"1h", 3600},
              {"10ms", 0.01},
              {"1h30m", 5400},
              {"@daily", 0},
              {"0 3 * * mon-fri", 0}};
  (void)state;
  rt_registry *r = new_registry();
  for (size_t i = 0; i < sizeof(faulty) / sizeof(*faulty); i++) {
    rt_error err = RT_ERROR_INIT;
    if (add_every(r, faulty[i], &err) != RT_EINVAL ||
        strncmp(err.message, "every: ", 7) != 0)
      fail_msg("\"%s\": %s", faulty[i], err.message);
  }
  for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
    rt_capability **all;
    size_t count;
    rt_error err = RT_ERROR_INIT;
    if (add_every(r, good[i].every, &err) != RT_OK) fail_msg("%s", err.message);
    assert_int_equal(rt__registry_all(r, &all, &count), RT_OK);
    assert_int_equal(count, 1);
    assert_true(rt__capability_scheduled(all[0]));
    assert_true(all[0]->has_cron == (good[i].seconds == 0));
    assert_true(all[0]->every >= good[i].seconds - 1e-9 &&
                all[0]->every <= good[i].seconds + 1e-9);
    rt__capability_unref(all[0]);
    rt_free(all);
    assert_int_equal(rt_registry_remove(r, "beat", NULL), RT_OK);
  }
  rt__registry_free(r);
}

typedef struct heard {
  char text[200];
} heard;

static void on_change(rt_capability *added, rt_capability *removed,
                      bool backfill, void *arg) {
  heard *h = arg;
  size_t at = strlen(h->text);
  snprintf(h->text + at, sizeof(h->text) - at, "%s%s%s ", added ? "+" : "-",
           added ? added->name : removed->name, backfill ? "!" : "");
}

static void test_listener_hears_in_order(void **state) {
  (void)state;
  heard h = {""};
  rt_registry *r = new_registry();
  rt__registry_listen(r, on_change, &h);
  add_ok(r, "a", "x", NULL, 0);
  assert_int_equal(add_lua(r, "{\"name\":\"b\",\"input\":[\"x\"]}", NULL, true),
                   RT_OK);
  assert_int_equal(add(r, "a", "x", NULL, 0, NULL), RT_EEXIST);
  assert_int_equal(rt_registry_remove(r, "a", NULL), RT_OK);
  rt__registry_listen(r, NULL, NULL);
  add_ok(r, "c", "x", NULL, 0);
  assert_string_equal(h.text, "+a +b! -a ");
  rt__registry_free(r);
}

static rt_err put(rt_registry *r, const char *source, unsigned flags) {
  rt_value *map;
  const char *json = "{\"name\":\"x\",\"input\":[\"a\"]}";
  assert_int_equal(rt_value_from_json(&map, json, strlen(json), NULL), RT_OK);
  rt_err rc =
      rt__registry_put(r, map, "x.lua", source, strlen(source), 1, flags, NULL);
  rt_value_unref(map);
  return rc;
}

static void test_borrowed_until_the_last_gives_back(void **state) {
  (void)state;
  rt_registry *r = new_registry();
  unsigned borrow = RT__PUT_BORROW | RT__PUT_AGAIN;
  assert_int_equal(put(r, "one", borrow), RT_OK);
  assert_int_equal(put(r, "one", borrow), RT_OK);
  assert_int_equal(put(r, "other", borrow), RT_EEXIST);
  assert_int_equal(put(r, "one", 0), RT_EEXIST);
  rt__registry_give_back(r, "x");
  assert_tasks(r, "a", "[\"x\"]");
  rt__registry_give_back(r, "x");
  assert_tasks(r, "a", "[]");
  rt__registry_give_back(r, "x"); /* nobody's */
  assert_int_equal(put(r, "other", borrow), RT_OK);
  assert_int_equal(put(r, "other", RT__PUT_AGAIN), RT_OK); /* to stay */
  rt__registry_give_back(r, "x");
  assert_tasks(r, "a", "[\"x\"]");
  rt__registry_free(r);
}

static void assert_plan(rt_registry *r, const char *part,
                        const char *expected) {
  rt_value *plan, *copy;
  assert_int_equal(rt_registry_plan(r, &plan, NULL), RT_OK);
  rt_view view = rt_view_get(rt_value_view(plan), part);
  assert_int_equal(rt_view_copy(&copy, view, NULL), RT_OK);
  rt_value_unref(plan);
  assert_json(copy, expected);
}

static void test_plan_edges_and_cycles(void **state) {
  (void)state;
  rt_registry *r = new_registry();
  add_ok(r, "dns", "domain", "(ipv4|domain)", 0);
  add_ok(r, "scan", "ipv4", "port", 0);
  add_ok(r, "cert", "port", "domain", 0);
  assert_plan(r, "edges",
              "[{\"from\":\"dns\",\"to\":\"dns\",\"class\":\"domain\"},"
              "{\"from\":\"dns\",\"to\":\"scan\",\"class\":\"ipv4\"},"
              "{\"from\":\"scan\",\"to\":\"cert\",\"class\":\"port\"},"
              "{\"from\":\"cert\",\"to\":\"dns\",\"class\":\"domain\"}]");
  assert_plan(r, "cycles", "[[\"dns\",\"scan\",\"cert\"]]");
  assert_plan(r, "warnings", "[\"cycle: dns -> scan -> cert -> dns\"]");
  rt__registry_free(r);
}

static void test_plan_warns(void **state) {
  (void)state;
  rt_registry *r = new_registry();
  assert_plan(r, "warnings", "[]");
  add_ok(r, "a", "x", "y", 0);
  add_ok(r, "b", "y", "z", 0);
  add_ok(r, "c", "foo", "bar", 0);
  assert_plan(
      r, "warnings",
      "[\"undeclared input: no capability has 'x' as output, which 'a' takes; "
      "only seeds bring it\",\"undeclared input: no capability has 'foo' as "
      "output, which 'c' takes; only seeds bring it\",\"unreachable "
      "capability: no other one leads to 'c' or follows it\"]");
  assert_plan(r, "cycles", "[]");
  rt__registry_free(r);
}

static void test_plan_patterns(void **state) {
  (void)state;
  rt_registry *r = new_registry();
  add_ok(r, "any", "*", NULL, 0);
  add_ok(r, "pick", "(a|b)", "(c|d)", 0);
  add_ok(r, "wild", "(b|c|e)", "*", 0);
  assert_plan(r, "edges",
              "[{\"from\":\"pick\",\"to\":\"any\",\"class\":\"c\"},"
              "{\"from\":\"pick\",\"to\":\"any\",\"class\":\"d\"},"
              "{\"from\":\"pick\",\"to\":\"wild\",\"class\":\"c\"},"
              "{\"from\":\"wild\",\"to\":\"any\",\"class\":\"*\"},"
              "{\"from\":\"wild\",\"to\":\"pick\",\"class\":\"a\"},"
              "{\"from\":\"wild\",\"to\":\"pick\",\"class\":\"b\"},"
              "{\"from\":\"wild\",\"to\":\"wild\",\"class\":\"b\"},"
              "{\"from\":\"wild\",\"to\":\"wild\",\"class\":\"c\"},"
              "{\"from\":\"wild\",\"to\":\"wild\",\"class\":\"e\"}]");
  rt__registry_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_targets_by_priority_then_registration),
      cmocka_unit_test(test_refuses_faults),
      cmocka_unit_test(test_lua_declaration_is_unpacked),
      cmocka_unit_test(test_times_in_c),
      cmocka_unit_test(test_listener_hears_in_order),
      cmocka_unit_test(test_borrowed_until_the_last_gives_back),
      cmocka_unit_test(test_plan_edges_and_cycles),
      cmocka_unit_test(test_plan_warns),
      cmocka_unit_test(test_plan_patterns),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
