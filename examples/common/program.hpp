#pragma once
/// What all programs here share: a command line, and one sentence on standard error when something is wrong.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <initializer_list>
#include <iostream>
#include <map>
#include <string>
#include <utility>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"
#include "lion/cpu/packed_matrix.hpp"

namespace lion::examples {

/// Parses the command line and runs the body; returns the exit code. Whatever is thrown, the command line's errors
/// included, becomes "NAME: sentence" on standard error and exit code 1.
template <class F>
int run(CLI::App& app, int argc, char** argv, F&& body) {
  const auto fail = [&](std::string message) {
    std::replace(message.begin(), message.end(), '\n', ' ');
    std::cerr << app.get_name() << ": " << message << '\n';
    return 1;
  };
  try {
    app.parse(argc, argv);
    body();
    std::cout.flush();
    if (!std::cout) return fail("cannot write to standard output");
    return 0;
  } catch (const CLI::Success& request) {  // --help
    return app.exit(request);
  } catch (const std::bad_alloc&) {
    return fail("out of memory");
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

/// The flag --threads, of which 0 means all of the machine's.
inline void add_threads(CLI::App& app, Index& threads) {
  app.add_option("--threads", threads, "threads to use; 0: as many as the machine has")->capture_default_str();
}

inline void check_threads(Index threads) {
  if (threads < 0) throw ArgumentError("--threads is " + std::to_string(threads) + ", expected at least 0");
}

/// A flag for each key of a model's configuration: --image-size for image_size.
inline void add_config(CLI::App& app, std::map<std::string, std::string>& config,
                       std::initializer_list<const char*> keys, const std::string& group) {
  for (const char* key : keys) {
    std::string flag = std::string("--") + key;
    std::replace(flag.begin(), flag.end(), '_', '-');
    app.add_option(flag, config[key])->group(group);
  }
}

inline void add_pack(CLI::App& app, std::string& type) {
  app.add_option(
      "--pack", type,
      "weights of linear layers as float32, or rounded to bfloat16 or int8, in the order products read them: "
      "for inference only [not packed]");
}

/// As --pack says, if it does.
template <class Model>
void pack(Model& model, const std::string& type, bool backward) {
  if (type.empty()) return;
  if (backward) throw ArgumentError("--pack is for inference, expected it without --backward");
  model.pack(cpu::parse_weight_type(type));
}

}  // namespace lion::examples
