#pragma once
/// The weights of a model on its way to the GPU: one piece of memory, laid out twice, first to count.

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lion/core/workspace.hpp"
#include "lion/nn/parameter.hpp"

namespace lion::cuda {

/// A model's parameters by name.
class NamedParameters {
 public:
  using Parameters = std::vector<const nn::Parameter<float>*>;

  explicit NamedParameters(const Parameters& parameters) {
    for (const nn::Parameter<float>* p : parameters) by_name_.emplace(p->name, p);
  }

  /// Throws Error if the model has no parameter of this name, ArgumentError if it is packed for the CPU.
  const nn::Parameter<float>& at(const std::string& name) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) throw Error("cuda: the model has no parameter " + name);
    if (!found->second->packed.empty()) {
      throw ArgumentError("cuda: " + name + " is packed, expected it as it was read or drawn");
    }
    return *found->second;
  }

 private:
  std::map<std::string, const nn::Parameter<float>*> by_name_;
};

/// Hands out device addresses for a model's parameters, by name, and writes what shall lie there, rounded to T, to an
/// image of that memory on the host. Without memory it only counts.
template <class T>
class WeightImage : public NamedParameters {
 public:
  using A = accumulator_t<T>;
  static constexpr bool trains = false;  ///< weights are for inference, and may lie as something made of them

  explicit WeightImage(const Parameters& parameters, std::byte* host = nullptr, std::byte* device = nullptr)
      : NamedParameters(parameters), host_(host), device_(device) {}

  std::size_t size() const { return host_.used(); }

  /// Parameters one after another, times `factor`.
  const T* take(const std::vector<std::string>& names, float factor = 1) {
    return written<T>(names, [factor](float value) { return static_cast<T>(factor * value); });
  }
  const T* take(const std::string& name, float factor = 1) { return take(std::vector<std::string>{name}, factor); }

  /// The same as arithmetic takes them, each through `f`.
  template <class F>
  const A* take_wide(const std::vector<std::string>& names, F&& f) {
    return written<A>(names, std::forward<F>(f));
  }
  const A* take_wide(const std::vector<std::string>& names) {
    return take_wide(names, [](float value) { return static_cast<A>(value); });
  }
  const A* take_wide(const std::string& name) { return take_wide(std::vector<std::string>{name}); }

 private:
  template <class X, class F>
  const X* written(const std::vector<std::string>& names, F&& f) {
    Index size = 0;
    for (const std::string& name : names) size += at(name).size();
    X* to = host_.take<X>(size);
    const X* there = device_.take<X>(size);
    if (!to) return nullptr;
    for (const std::string& name : names) {
      const nn::Parameter<float>& p = at(name);
      for (Index i = 0; i < p.size(); ++i) *to++ = f(p.value(i));
    }
    return there;
  }

  Arena host_, device_;
};

/// What `make(image)` makes of these parameters, whose weights are then in `memory`. Memory(bytes) owns memory of the
/// device, at a multiple of kAlignment, `data()` is where and `upload(host)` fills it.
template <class T, class Memory, class F>
auto upload(const std::vector<const nn::Parameter<float>*>& parameters, Memory& memory, F&& make) {
  WeightImage<T> counting(parameters);
  make(counting);
  memory = Memory(counting.size());
  lion::detail::AlignedBytes host = lion::detail::aligned_bytes(counting.size());
  WeightImage<T> image(parameters, host.get(), memory.data());
  auto layers = make(image);
  memory.upload(host.get());
  return layers;
}

}  // namespace lion::cuda
