#pragma once
/// The weights of a model in training on the GPU: one array of them all, and arrays beside it with the same places.

#include <span>
#include <type_traits>

#include "lion/nn/cuda/weights.hpp"

namespace lion::cuda {

/// Arrays of `count` numbers in memory of the device. A layer knows where its weights lie, and so where their gradients
/// do.
template <class T>
struct TrainedWeights {
  using A = accumulator_t<T>;

  A* values = nullptr;
  T* rounded = nullptr;  ///< to T, for products; where T is A the values themselves
  A* gradients = nullptr;
  Index count = 0;
  Index decayed = 0;  ///< of so many, the first, weight decay applies to parameters

  A* gradient(const A* value) const { return gradients + (value - values); }
  A* gradient(const T* value) const
    requires(!std::same_as<T, A>)
  {
    return gradients + (value - rounded);
  }
};

/// Hands out a model's parameters in those arrays, by name; of each it is then known where it lies. Made twice: first
/// without arrays, to count.
template <class T>
class TrainedImage : public NamedParameters {
 public:
  using A = accumulator_t<T>;
  static constexpr bool trains = true;

  struct Place {
    const nn::Parameter<float>* parameter;
    Index begin;
  };

  explicit TrainedImage(const Parameters& parameters) : NamedParameters(parameters) {}
  TrainedImage(const Parameters& parameters, const TrainedWeights<T>& weights)
      : NamedParameters(parameters), weights_(weights), others_(weights.decayed) {}

  /// Numbers of all, and of those that decay; begins are multiples of kUnit.
  Index decayed() const { return whole(decayed_); }
  Index count() const { return whole(decayed_) + whole(others_ - weights_.decayed); }
  const std::vector<Place>& places() const { return places_; }

  /// Parameters one after another, as products take them: `factor` must be 1.
  const T* take(const std::vector<std::string>& names, float factor = 1) {
    if (factor != 1) throw Error("cuda: " + names.front() + " is trained, expected no factor");
    const Index begin = place(names);
    return weights_.rounded ? weights_.rounded + begin : nullptr;
  }
  const T* take(const std::string& name) { return take(std::vector<std::string>{name}); }

  /// The same as arithmetic takes them.
  const A* take_wide(const std::vector<std::string>& names) {
    const Index begin = place(names);
    return weights_.values ? weights_.values + begin : nullptr;
  }
  const A* take_wide(const std::string& name) { return take_wide(std::vector<std::string>{name}); }

 private:
  static constexpr Index kUnit = static_cast<Index>(kAlignment / sizeof(std::uint16_t));
  static Index whole(Index n) { return (n + kUnit - 1) / kUnit * kUnit; }

  Index place(const std::vector<std::string>& names) {
    Index& end = at(names.front()).decay ? decayed_ : others_;
    end = whole(end);
    const Index begin = end;
    for (const std::string& name : names) {
      const nn::Parameter<float>& p = at(name);
      places_.push_back({&p, end});
      end += p.size();
    }
    return begin;
  }

  TrainedWeights<T> weights_;
  Index decayed_ = 0, others_ = 0;  // where each of the two kinds ends
  std::vector<Place> places_;
};

/// Those arrays, but the moments of an optimiser, in `Memory` of the device (weights.hpp; it also has
/// `download(host)`).
template <class T, class Memory>
class TrainedMemory {
 public:
  using A = accumulator_t<T>;
  static_assert(std::same_as<A, float>, "lion::cuda::TrainedMemory: arithmetic is in float, as the model's");

  /// Where a parameter lies in the arrays.
  struct Place {
    std::string name;
    Index begin, size;
  };

  /// What `make(image)` makes of the parameters, whose values are then in memory and their gradients 0.
  template <class F>
  auto upload(const std::vector<const nn::Parameter<float>*>& parameters, F&& make) {
    TrainedImage<T> counting(parameters);
    make(counting);
    weights_.count = counting.count();
    weights_.decayed = counting.decayed();
    const std::size_t bytes = sizeof(A) * static_cast<std::size_t>(weights_.count);
    values_ = Memory(bytes);
    gradients_ = Memory(bytes);
    weights_.values = reinterpret_cast<A*>(values_.data());
    weights_.gradients = reinterpret_cast<A*>(gradients_.data());
    Tensor<A, 1> host({weights_.count});  // 0
    gradients_.upload(host.data());
    if constexpr (std::same_as<T, A>) {
      weights_.rounded = weights_.values;
    } else {
      rounded_ = Memory(sizeof(T) * static_cast<std::size_t>(weights_.count));
      weights_.rounded = reinterpret_cast<T*>(rounded_.data());
    }
    TrainedImage<T> image(parameters, weights_);
    auto layers = make(image);
    std::map<const nn::Parameter<float>*, Index> begins;
    for (const auto& [parameter, begin] : image.places()) begins.emplace(parameter, begin);
    for (const nn::Parameter<float>* p : parameters) {
      places_.push_back({p->name, begins.at(p), p->size()});
      std::copy_n(p->value.data(), p->size(), host.data() + begins.at(p));
    }
    values_.upload(host.data());
    if constexpr (!std::same_as<T, A>) {
      Tensor<T, 1> rounded({weights_.count});
      for (Index i = 0; i < weights_.count; ++i) rounded(i) = static_cast<T>(host(i));
      rounded_.upload(rounded.data());
    }
    return layers;
  }

  const TrainedWeights<T>& weights() const { return weights_; }
  /// In the order of the model's parameters.
  const std::vector<Place>& places() const { return places_; }

  /// Values, and gradients, of these parameters of the same model: copied to them, once what was started has ended.
  void download_values(std::span<nn::Parameter<float>* const> parameters) const {
    download(values_, parameters, [](nn::Parameter<float>& p) { return p.value.data(); });
  }
  void download_gradients(std::span<nn::Parameter<float>* const> parameters) const {
    download(gradients_, parameters, [](nn::Parameter<float>& p) {
      p.make_grad();
      return p.grad.data();
    });
  }

 private:
  template <class F>
  void download(const Memory& from, std::span<nn::Parameter<float>* const> parameters, F&& to) const {
    bool same = parameters.size() == places_.size();
    for (std::size_t i = 0; i < places_.size() && same; ++i) {
      same = parameters[i]->name == places_[i].name && parameters[i]->size() == places_[i].size;
    }
    if (!same) throw ArgumentError("cuda: parameters are of another model, expected those of the one in training");
    Tensor<A, 1> host({weights_.count});
    from.download(host.data());
    for (std::size_t i = 0; i < places_.size(); ++i) {
      std::copy_n(host.data() + places_[i].begin, places_[i].size, to(*parameters[i]));
    }
  }

  Memory values_, gradients_, rounded_;
  TrainedWeights<T> weights_;
  std::vector<Place> places_;
};

}  // namespace lion::cuda
