#pragma once
/// What every model offers of its weights.

#include <vector>

#include "lion/nn/parameter.hpp"

namespace lion::model {

/// The weights of `Model`, whose `for_each_parameter(f)` calls f with each, in an order of its own.
template <Real S, class Model>
class Weights {
 public:
  /// Every weight. Pointers live as long as the model stays where it is.
  std::vector<nn::Parameter<S>*> parameters() {
    std::vector<nn::Parameter<S>*> all;
    model().for_each_parameter([&](nn::Parameter<S>& p) { all.push_back(&p); });
    return all;
  }
  std::vector<const nn::Parameter<S>*> parameters() const {
    const auto all = const_cast<Weights*>(this)->parameters();  // one list serves both; the pointees are const again
    return {all.begin(), all.end()};
  }

  Index parameter_count() const {
    Index count = 0;
    for (const nn::Parameter<S>* p : parameters()) count += nn::Parameter<S>::count_of(p->shape);
    return count;
  }

  /// From now on the linear layers keep their weights as `type` alone (nn::Parameter::pack), and the model infers but
  /// neither trains nor is saved. bfloat16 and int8 also multiply as such where the compiler is told of a CPU that does
  /// so faster than floats: by AMX, int8 also by AVX512_VNNI or AVX_VNNI, bfloat16 by AVX512_BF16 on AMD's; then rows
  /// are rounded likewise as they are multiplied. All else stays float32.
  void pack(cpu::WeightType type)
    requires std::same_as<S, float>
  {
    model().for_each_parameter([type](nn::Parameter<S>& p) { p.pack(type); });
  }

  /// Every gradient becomes 0; makes them if there are none.
  void zero_grad() {
    make_grad();
    model().for_each_parameter([](nn::Parameter<S>& p) { p.grad.fill(S(0)); });
  }

 protected:
  void make_grad() {
    model().for_each_parameter([](nn::Parameter<S>& p) { p.make_grad(); });
  }

 private:
  Model& model() { return static_cast<Model&>(*this); }
};

}  // namespace lion::model
