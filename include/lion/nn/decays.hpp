#pragma once
/// Where the decays of a LION layer come from: one kind of parameters per mask (math.md §6, §7).
///
/// `Decays<S, M>` has, R being the number of orders (1, or 2 for ♮),
///   Decays(options, width, heads);
///   void initialise(random);
///   Index size(tokens) const;                         elements of log λ per order
///   void forward(z, batch, log_lambda, executor) const;   log λ of each order, one after another, from z [B·L,C]
///   MaskParameters<M,S> parameters(B, L, r, log_lambda), MaskGradients<M,S> gradients(B, L, r, dlog_lambda);
///   void backward(z, log_lambda, dlog_lambda, dz, executor);   adds to dz and to the gradients; overwrites dlog_lambda
///   void for_each_parameter(f);

#include <cmath>
#include <string>
#include <vector>

#include "lion/attention.hpp"
#include "lion/mask/decay.hpp"
#include "lion/mask/linear.hpp"
#include "lion/mask/selective.hpp"
#include "lion/nn/linear.hpp"

namespace lion::nn {

/// x = log σ(sign·x), [n], without overflow or cancellation.
template <Real S>
void log_sigmoid(S* x, Index n, S sign = S(1)) {
  Eigen::Map<Eigen::Array<S, -1, 1>> all(x, n);
  all *= sign;
  all = (all.min)(S(0)) - (-all.abs()).exp().log1p();
}

/// The decays of one layer.
struct DecayOptions {
  std::vector<std::string> names;  ///< of the parameters, one for each order
  Index prefix = 0;                ///< class tokens of each sample, which do not decay
  double floor = 0;                ///< selective: added to λ, which stays at most 1
};

/// 1 - λ of head h at the start: from 1/2 to 1/128 over the heads, so that they see from 2 to 128 tokens far.
inline double initial_forgetting(Index h, Index heads) {
  return std::exp2(heads == 1 ? -4.0 : -1 - 6 * static_cast<double>(h) / static_cast<double>(heads - 1));
}

template <Real S, class M>
class Decays;

/// LION-LIT has none.
template <Real S>
class Decays<S, mask::Linear> {
 public:
  Decays() = default;
  Decays(const DecayOptions&, Index, Index) {}
  void initialise(const PlacedRandom&) {}
  Index orders() const { return 1; }  // all orders give the same
  Index size(Index) const { return 0; }
  void forward(const View<const S, 2>&, Index, S*, const Executor&) const {}
  MaskParameters<mask::Linear, S> parameters(Index, Index, Index, const S*) const { return {}; }
  MaskGradients<mask::Linear, S> gradients(Index, Index, Index, S*) const { return {}; }
  void backward(const View<const S, 2>&, const S*, S*, const View<S, 2>&, const Executor&) {}
  template <class F>
  void for_each_parameter(F&&) {}
};

/// LION-D: λ_h = σ(a[h]), one parameter [H] for each order.
template <Real S>
class Decays<S, mask::Decay> {
 public:
  Decays() = default;
  Decays(const DecayOptions& options, Index, Index heads) : heads_(heads) {
    for (const std::string& name : options.names) a_.push_back(Parameter<S>::without_grad(name, {heads}, false));
  }

  void initialise(const PlacedRandom&) {
    for (Parameter<S>& a : a_) {
      for (Index h = 0; h < heads_; ++h) {
        const double forgotten = initial_forgetting(h, heads_);
        a.value(h) = static_cast<S>(std::log((1 - forgotten) / forgotten));
      }
    }
  }

  Index orders() const { return static_cast<Index>(a_.size()); }
  Index size(Index) const { return heads_; }

  void forward(const View<const S, 2>&, Index, S* log_lambda, const Executor&) const {
    for (const Parameter<S>& a : a_) {
      std::copy_n(a.value.data(), heads_, log_lambda);
      log_sigmoid(log_lambda, heads_);
      log_lambda += heads_;
    }
  }

  MaskParameters<mask::Decay, S> parameters(Index, Index, Index r, const S* log_lambda) const {
    return {View<const S, 1>(log_lambda + r * heads_, {heads_})};
  }
  MaskGradients<mask::Decay, S> gradients(Index, Index, Index r, S* dlog_lambda) const {
    return {View<S, 1>(dlog_lambda + r * heads_, {heads_})};
  }

  /// d log σ(a) / da = 1 - λ.
  void backward(const View<const S, 2>&, const S* log_lambda, S* dlog_lambda, const View<S, 2>&, const Executor&) {
    for (Parameter<S>& a : a_) {
      for (Index h = 0; h < heads_; ++h) a.grad(h) -= *dlog_lambda++ * std::expm1(*log_lambda++);
    }
  }

  template <class F>
  void for_each_parameter(F&& f) {
    for (Parameter<S>& a : a_) f(a);
  }

 private:
  Index heads_ = 0;
  std::vector<Parameter<S>> a_;
};

/// LION-S: λ = min(1, 1 - σ(a(z)) + floor), 1 for class tokens; a linear layer (C to H) for each order.
template <Real S>
class Decays<S, mask::Selective> {
 public:
  Decays() = default;
  Decays(const DecayOptions& options, Index width, Index heads)
      : heads_(heads), prefix_(options.prefix), floor_(static_cast<S>(options.floor)) {
    for (const std::string& name : options.names) {
      a_.emplace_back(name, width, heads);
      a_.back().weight.matrix = false;  // decays need every bit
    }
  }

  void initialise(const PlacedRandom& random) {
    std::uint64_t stream = 0;
    for (Linear<S>& a : a_) {
      a.initialise(random.stream(++stream));
      for (Index h = 0; h < heads_; ++h) {
        const double forgotten = initial_forgetting(h, heads_);
        a.bias.value(h) = static_cast<S>(std::log(forgotten / (1 - forgotten)));
      }
    }
  }

  Index orders() const { return static_cast<Index>(a_.size()); }
  Index size(Index tokens) const { return tokens * heads_; }

  /// log λ [B,L,H]; 0 for class tokens, which do not decay.
  void forward(const View<const S, 2>& z, Index batch, S* log_lambda, const Executor& executor) const {
    const Index tokens = z.extent(0), length = tokens / batch;
    for (const Linear<S>& a : a_) {
      a.forward(z, View<S, 2>(log_lambda, {tokens, heads_}), executor);
      detail::for_each_block(tokens, kRowBlock, executor, [&](Index first, Index n) {
        log_sigmoid(log_lambda + first * heads_, n * heads_, S(-1));
        raise(log_lambda + first * heads_, n * heads_);
        for (Index t = first; t < first + n; ++t) {
          if (t % length < prefix_) std::fill_n(log_lambda + t * heads_, heads_, S(0));
        }
      });
      log_lambda += size(tokens);
    }
  }

  MaskParameters<mask::Selective, S> parameters(Index batch, Index length, Index r, const S* log_lambda) const {
    return {
        View<const S, 3>(log_lambda + r * size(batch * length), {batch, heads_, length}, {length * heads_, 1, heads_})};
  }
  MaskGradients<mask::Selective, S> gradients(Index batch, Index length, Index r, S* dlog_lambda) const {
    return {View<S, 3>(dlog_lambda + r * size(batch * length), {batch, heads_, length}, {length * heads_, 1, heads_})};
  }

  /// With λ = σ(-x) + f below 1, d log λ / dx = -(λ - f)(1 - λ + f) / λ; 0 for class tokens.
  void backward(const View<const S, 2>& z, const S* log_lambda, S* dlog_lambda, const View<S, 2>& dz,
                const Executor& executor) {
    for (Linear<S>& a : a_) {
      using Values = Eigen::Array<S, -1, 1>;
      const Index n = size(z.extent(0));
      detail::for_each_block(n, 1024, executor, [&](Index first, Index m) {
        const Eigen::Map<const Values> values(log_lambda + first, m);
        Eigen::Map<Values> slope(dlog_lambda + first, m);
        if (floor_ > S(0)) {  // a λ that was cut at 1 has no slope
          slope = (values < S(0)).select(slope * (values.expm1() - floor_) * (S(1) - floor_ * (-values).exp()), S(0));
        } else {
          slope *= values.expm1();
        }
      });
      const View<const S, 2> dvalues(dlog_lambda, {z.extent(0), heads_});
      a.backward_weights(dvalues, z, executor);
      a.backward_input(dvalues, dz, executor, true);
      log_lambda += n;
      dlog_lambda += n;
    }
  }

  template <class F>
  void for_each_parameter(F&& f) {
    for (Linear<S>& a : a_) a.for_each_parameter(f);
  }

 private:
  /// log λ becomes min(0, log(λ + floor)), without overflow or cancellation.
  void raise(S* log_lambda, Index n) const {
    if (floor_ <= S(0)) return;
    const S least = std::log(floor_);
    Eigen::Map<Eigen::Array<S, -1, 1>> all(log_lambda, n);
    all = (((all.max)(least) + (-(all - least).abs()).exp().log1p()).min)(S(0));
  }

  Index heads_ = 0, prefix_ = 0;
  S floor_ = S(0);
  std::vector<Linear<S>> a_;
};

}  // namespace lion::nn
