#pragma once
/// The flags --device and --dtype: where a model runs, and in what on a GPU.

#include <CLI/CLI.hpp>
#include <string>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"

namespace lion::examples {

struct Device {
  std::string name = "cpu", dtype = "float32";

  bool cuda() const { return name == "cuda"; }
};

inline void add_device(CLI::App& app, Device& device, const std::string& what = "inference",
                       const std::string& types = "float32, bfloat16 or float16") {
  app.add_option("--device", device.name, "cpu, or cuda for " + what + " on a GPU")->capture_default_str();
  app.add_option("--dtype", device.dtype, "with --device cuda: " + types)->capture_default_str();
}

/// Throws for what this build or the flags beside it do not have. `other`: a flag that is for the CPU alone and was
/// given, if any.
inline void check_device(const Device& device, const std::string& other) {
  if (device.name != "cpu" && device.name != "cuda") {
    throw ArgumentError("--device is '" + device.name + "', expected cpu or cuda");
  }
  if (!device.cuda() && device.dtype != "float32") throw ArgumentError("--dtype is for --device cuda");
  if (device.dtype != "float32" && device.dtype != "bfloat16" && device.dtype != "float16") {
    throw ArgumentError("--dtype is '" + device.dtype + "', expected float32, bfloat16 or float16");
  }
  if (!device.cuda()) return;
#ifndef LION_EXAMPLES_CUDA
  throw UnavailableError("--device cuda is not in this build, configure it with -DLION_CUDA=ON");
#endif
  if (!other.empty()) throw ArgumentError(other + " is for --device cpu");
}

/// f(T()) with the type that --dtype names.
template <class F>
void visit_dtype(const Device& device, F&& f) {
  if (device.dtype == "bfloat16") return f(bfloat16());
  if (device.dtype == "float16") return f(half());
  f(float());
}

}  // namespace lion::examples
