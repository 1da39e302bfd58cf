#pragma once
/// One case of the operator for the benchmarks: its tensors, and how many operations it is counted as.

#include <algorithm>
#include <random>
#include <vector>

#include "lion/lion.hpp"
#include "thread_time.hpp"

namespace lion::bench {

/// Random tensors [1, H, L, W]; decays as trained models have them, down to e^-0.1 a head and e^-0.5 a token.
template <class T = float>
struct Data {
  explicit Data(Index H, Index L, Index W = 64)
      : q({1, H, L, W}),
        k(q.shape()),
        v(q.shape()),
        y(q.shape()),
        dy(q.shape()),
        dq(q.shape()),
        dk(q.shape()),
        dv(q.shape()),
        row_sum({1, H, L}),
        per_head({H}),
        per_token({1, H, L}),
        dper_head({H}),
        dper_token({1, H, L}) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> unit(0, 1);
    const auto fill = [&](auto& tensor, float low, float high) {
      for (Index i = 0; i < tensor.size(); ++i) {
        tensor.data()[i] =
            static_cast<std::remove_reference_t<decltype(*tensor.data())>>(low + (high - low) * unit(random));
      }
    };
    fill(q, 0, 1), fill(k, 0, 1), fill(v, -1, 1), fill(dy, -1, 1), fill(per_head, -0.1f, 0), fill(per_token, -0.5f, 0);
  }
  Tensor<T, 4> q, k, v, y, dy, dq, dk, dv;
  Tensor<float, 3> row_sum;
  Tensor<float, 1> per_head;
  Tensor<float, 3> per_token;
  Tensor<float, 1> dper_head;
  Tensor<float, 3> dper_token;
};

template <class T>
MaskParameters<mask::Linear, T> parameters(const Data<T>&, mask::Linear) {
  return {};
}
template <class T>
MaskParameters<mask::Decay, T> parameters(const Data<T>& data, mask::Decay) {
  return {data.per_head};
}
template <class T>
MaskParameters<mask::Selective, T> parameters(const Data<T>& data, mask::Selective) {
  return {data.per_token};
}
template <class T>
MaskGradients<mask::Linear, T> gradients(Data<T>&, mask::Linear) {
  return {};
}
template <class T>
MaskGradients<mask::Decay, T> gradients(Data<T>& data, mask::Decay) {
  return {data.dper_head};
}
template <class T>
MaskGradients<mask::Selective, T> gradients(Data<T>& data, mask::Selective) {
  return {data.dper_token};
}

/// Multiply-adds twice, per head (math.md §3): the pairs inside chunks, and the tokens that enter a state that another
/// chunk sees, or look at one that is not empty. Of the five products of a pair in backward (math.md §4) forward has
/// two, and so for states: 2.5 times as many.
inline double operations(const form::Plan& plan, bool both, Index L, Index D, bool backward) {
  const double width = static_cast<double>(D), length = static_cast<double>(L);
  double pairs = 0, entries = 2 * length;
  if (!plan.global) {
    const Index chunk = std::max<Index>(1, std::min(plan.chunk, L)), rest = L % chunk, whole = L / chunk;
    pairs = (static_cast<double>(whole * chunk * chunk + rest * rest)) * (both ? 1 : 0.5);
    const double last = static_cast<double>(rest ? rest : chunk);
    entries = (2 * length - static_cast<double>(chunk) - last) * (both ? 2 : 1);
  }
  return 2.0 * (pairs * (2 * width + 1) + entries * width * (width + 1)) * (backward ? 2.5 : 1);
}

/// The operator with row sums in both directions on `threads` threads.
template <class M, class F, class T = float>
class OperatorCase {
 public:
  explicit OperatorCase(Index heads, Index L, Index width = 64, F form = {}, Index threads = 1)
      : data_(heads, L, width), pool_(threads), heads_(heads), width_(width) {
    attention_.form = form;
  }

  void forward() { attention_.forward(inputs(), parameters(data_, M{}), {data_.y, data_.row_sum}, workspace_, pool_); }
  /// After a `forward`.
  void backward() {
    attention_.backward(inputs(), parameters(data_, M{}), {data_.dy, data_.y, data_.row_sum},
                        {data_.dq, data_.dk, data_.dv}, gradients(data_, M{}), workspace_, pool_);
  }

  double operations(bool backward) const {
    const Index L = data_.q.extent(2);
    const form::Plan plan = form::plan(attention_.form, M::decay, true, L, width_, width_);
    return static_cast<double>(heads_) * bench::operations(plan, true, L, width_, backward);
  }

 private:
  AttentionInputs<T> inputs() const { return {data_.q, data_.k, data_.v}; }

  Data<T> data_;
  ThreadPool pool_;
  Workspace workspace_;
  Attention<M, F> attention_;
  Index heads_, width_;
};

/// Seconds of the calling thread for one call of f, over `rounds` calls.
template <class F>
double seconds(int rounds, F&& f) {
  const double begin = thread_seconds();
  for (int r = 0; r < rounds; ++r) f();
  return (thread_seconds() - begin) / rounds;
}

/// The median, and the quarters below and above it.
struct Spread {
  double low = 0, median = 0, high = 0;
};
inline Spread spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double part) {
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
  };
  return {at(0.25), at(0.5), at(0.75)};
}

}  // namespace lion::bench
