// embed.cpp - the C API from C++: owners that clean up after themselves, and a
// module for scripts whose functions are lambdas.
//   c++ -std=c++17 embed.cpp $(pkg-config --cflags --libs runtime) -o embed
// SPDX-License-Identifier: MIT
#include <rt/rt.h>

#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Deleter {
  void operator()(rt_runtime *rt) const {
    rt_runtime_free(rt);
  }
  void operator()(rt_value *value) const {
    rt_value_unref(value);
  }
  void operator()(rt_builder *builder) const {
    rt_builder_free(builder);
  }
};
template <typename T> using Owner = std::unique_ptr<T, Deleter>;

// Results become exceptions.
class Error : public std::runtime_error {
public:
  explicit Error(const rt_error &err)
      : std::runtime_error(err.message), code(err.code) {}
  rt_err code;
};

template <typename Call> void check(Call call) {
  rt_error err = RT_ERROR_INIT;
  if (call(&err) != RT_OK) throw Error(err);
}

// What scripts read and write; functions are called on the workers' threads.
class Store {
public:
  void set(const std::string &key, double value) {
    std::lock_guard<std::mutex> lock(mutex_);
    values_[key] = value;
  }
  bool get(const std::string &key, double *value) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = values_.find(key);
    if (found == values_.end()) return false;
    *value = found->second;
    return true;
  }

private:
  std::mutex mutex_;
  std::map<std::string, double> values_;
};

// A function for scripts. No exception may cross into C.
struct Function {
  std::string name;
  std::function<Owner<rt_value>(rt_view args)> body;

  static void call(rt_call *call, const rt_value *args, void *arg) {
    rt_error err = RT_ERROR_INIT;
    Owner<rt_value> results;
    try {
      results = static_cast<Function *>(arg)->body(rt_value_view(args));
    } catch (const std::exception &e) {
      rt_fail(&err, RT_EINVAL, "%s", e.what());
    }
    if (err.code == RT_OK)
      rt_call_return(call, results.get());
    else
      rt_call_fail(call, &err);
  }
};

std::string text_at(rt_view args, uint32_t index) {
  size_t size = 0;
  const char *text = rt_view_string(rt_view_at(args, index), &size);
  if (!text) throw std::invalid_argument("a string expected");
  return std::string(text, size);
}

Owner<rt_value> number(double value) {
  Owner<rt_builder> builder(rt_builder_new());
  rt_value *made = nullptr;
  rt_builder_begin_array(builder.get());
  rt_builder_number(builder.get(), value);
  rt_builder_end(builder.get());
  check([&](rt_error *err) {
    return rt_builder_finish(builder.get(), &made, err);
  });
  return Owner<rt_value>(made);
}

void add_module(rt_runtime *rt, const char *name,
                std::vector<Function> &functions) {
  rt_module_opts opts = RT_MODULE_OPTS_INIT;
  std::vector<rt_function> list;
  for (auto &function : functions)
    list.push_back({function.name.c_str(), Function::call, &function});
  opts.name = name;
  opts.functions = list.data();
  opts.function_count = list.size();
  check([&](rt_error *err) { return rt_runtime_add_module(rt, &opts, err); });
}

Owner<rt_runtime> start() {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_runtime *rt = nullptr;
  opts.workers = 1;
  opts.output = [](int, const char *text, size_t size, void *) {
    std::cout.write(text, static_cast<std::streamsize>(size));
  };
  check([&](rt_error *err) { return rt_runtime_new(&rt, &opts, err); });
  return Owner<rt_runtime>(rt);
}

int run(rt_runtime *rt, const std::string &code) {
  rt_script script = RT_SCRIPT_INIT;
  int exit_code = 1;
  script.code = code.data();
  script.code_size = code.size();
  script.name = "embed";
  check([&](rt_error *err) {
    return rt_runtime_run(rt, &script, &exit_code, err);
  });
  return exit_code;
}

} // namespace

int main() try {
  Store store;
  std::vector<Function> functions;
  functions.push_back({"set", [&](rt_view args) {
                         store.set(text_at(args, 0),
                                   rt_view_number(rt_view_at(args, 1), 0));
                         return Owner<rt_value>();
                       }});
  functions.push_back({"get", [&](rt_view args) {
                         double value = 0;
                         if (!store.get(text_at(args, 0), &value))
                           throw std::out_of_range("no such key");
                         return number(value);
                       }});
  auto rt = start(); // after what its scripts use, so that it goes first
  add_module(rt.get(), "store", functions);
  return run(rt.get(), "local store = require('store')\n"
                       "store.set('answer', 42)\n"
                       "print(store.get('answer'))\n"
                       "local value, err = store.get('question')\n"
                       "print(value, err:message())\n");
} catch (const Error &e) {
  std::cerr << "embed: " << e.what() << '\n';
  return 1;
}
