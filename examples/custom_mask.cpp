/// A mask of your own, in one file and without touching the library.
///
/// A mask tells the operator two numbers per head and token, nothing more: how much of the state survives the token
/// (ℓ = log λ ≤ 0) and, if it wants, a gate γ on the token's key. Everything that LION does with them (the matrix M,
/// the states across chunks, prefix sums, gradients) is derived by the library, once for all masks. So a mask is a
/// struct with two small structs inside; all forms, directions and types then work with it.
///
/// The mask here is that of a selective state space (Mamba-2, arXiv 2405.21060): a step size Δ_t > 0 per token and head
/// sets both numbers,
///
///     λ_t = exp(−Δ_t a_h)   how long the past is remembered: a long step forgets more
///     γ_t = Δ_t             how strongly the token is written: a long step writes more
///
/// with a rate a_h > 0 per head. The program runs it in every form, forward and backward, beside a plain double loop
/// over all pairs of tokens, and checks the gradient of Δ, which passes through λ and γ, by finite differences.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <string>
#include <vector>

#include "lion/cpu/attention.hpp"

using lion::AttentionDims;
using lion::Index;
using lion::Tensor;
using lion::View;

// ------------------------------------------------------------------------------------------------------- the mask

struct StepSize {
  static constexpr std::string_view name = "step_size";  // for messages
  /// How many decays there are: none, one per head, or one per token.
  static constexpr lion::mask::DecayKind decay = lion::mask::DecayKind::per_token;
  /// Whether there is a gate: if so, Parameters and Gradients have `gate`.
  static constexpr bool gated = true;

  /// Where the numbers come from. A is the type of arithmetic: float, or double for double tensors. What is in here is
  /// yours; the library calls the three functions only, from several threads, any number of times.
  template <class A>
  struct Parameters {
    View<const A, 3> delta;  // [B,H,L] Δ
    View<const A, 1> rate;   // [H] a

    LION_HOST_DEVICE A log_decay(Index b, Index h, Index t) const { return -delta(b, h, t) * rate(h); }
    LION_HOST_DEVICE A gate(Index b, Index h, Index t) const { return delta(b, h, t); }

    /// Called before anything is written: the place to refuse wrong shapes and values; with backend::Cuda, which reads
    /// the device's memory, shapes alone.
    void check_shapes(const AttentionDims& dims) const {
      lion::require_shape<3>("attention", "delta", delta.shape(), {dims.B, dims.H, dims.L}, " to match v");
      lion::require_shape<1>("attention", "rate", rate.shape(), {dims.H}, " to match v");
    }
    void check(const AttentionDims& dims) const {
      check_shapes(dims);
      for (Index b = 0; b < dims.B; ++b)
        for (Index h = 0; h < dims.H; ++h)
          for (Index t = 0; t < dims.L; ++t)
            lion::mask::require_log_decay<3>(log_decay(b, h, t), "-delta * rate at ", {b, h, t});
    }
  };

  /// Where their gradients go: each function is called once for each of its places, and gets the value to store.
  template <class A>
  struct Gradients {
    View<A, 3> dlog_decay;  // [B,H,L] dℓ
    View<A, 3> dgate;       // [B,H,L] dγ

    LION_HOST_DEVICE void log_decay(Index b, Index h, Index t, A value) const { dlog_decay(b, h, t) = value; }
    LION_HOST_DEVICE void gate(Index b, Index h, Index t, A value) const { dgate(b, h, t) = value; }
    void check(const AttentionDims& dims) const {
      lion::require_shape<3>("attention", "dlog_decay", dlog_decay.shape(), {dims.B, dims.H, dims.L}, " to match v");
      lion::require_shape<3>("attention", "dgate", dgate.shape(), {dims.B, dims.H, dims.L}, " to match v");
    }
  };
};

static_assert(lion::mask::Mask<StepSize>);

// -------------------------------------------------------------------------------------------------- a small problem

namespace {

constexpr Index B = 1, H = 2, L = 150, D = 8, E = 6;

/// All tensors of the problem; float, as a model would have them.
struct Problem {
  Tensor<float, 4> q{{B, H, L, D}}, k{{B, H, L, D}}, v{{B, H, L, E}}, dy{{B, H, L, E}};
  Tensor<float, 3> delta{{B, H, L}};
  Tensor<float, 1> rate{{H}};

  Problem() {
    std::mt19937 bits(7);
    const auto uniform = [&](double low, double high) {
      return static_cast<float>(low + (high - low) * static_cast<double>(bits()) / 4294967296.0);
    };
    for (Tensor<float, 4>* x : {&q, &k, &v, &dy}) {
      for (Index i = 0; i < x->size(); ++i) x->data()[i] = uniform(-1, 1);
    }
    // Most steps are short; one in ten is so long that the past is all but forgotten.
    for (Index i = 0; i < delta.size(); ++i) delta.data()[i] = i % 10 == 3 ? uniform(5, 20) : uniform(0.01, 0.3);
    for (Index h = 0; h < H; ++h) rate.data()[h] = static_cast<float>(1 << h);
  }
};

/// What is compared: outputs, and the gradient of Δ of the loss Σ y·dy.
struct Result {
  std::vector<double> y, ddelta;
};

// ---------------------------------------------------------------------------------------------- with the library

template <class Form>
Result with_lion(const Problem& p, Form form) {
  // A model with two directions and no row sums, as Hydra's; the other choices are template arguments too.
  const lion::Attention<StepSize, Form, lion::backend::Cpu, lion::normalise::None, lion::direction::Both> attention{
      form};

  Tensor<float, 4> y({B, H, L, E}), dq({B, H, L, D}), dk({B, H, L, D}), dv({B, H, L, E});
  Tensor<float, 3> dlog_decay({B, H, L}), dgate({B, H, L});
  const lion::AttentionInputs<float> in{p.q, p.k, p.v};
  const StepSize::Parameters<float> mask{p.delta, p.rate};
  attention.forward(in, mask, {y});
  attention.backward(in, mask, {p.dy}, {dq, dk, dv}, {dlog_decay, dgate});

  // The chain rule from the operator's numbers to the mask's own parameter: ℓ = −Δ a and γ = Δ.
  Result result;
  result.y.assign(y.data(), y.data() + y.size());
  for (Index b = 0; b < B; ++b)
    for (Index h = 0; h < H; ++h)
      for (Index t = 0; t < L; ++t)
        result.ddelta.push_back(static_cast<double>(-p.rate(h) * dlog_decay(b, h, t) + dgate(b, h, t)));
  return result;
}

// ------------------------------------------------------------------------------------------- without the library

/// y_i = s Σ_j M_ij γ_j (q_i·k_j) v_j for one head, every pair written out, in double. `steps` is Δ [B,H,L].
std::vector<double> dense(const Problem& p, const std::vector<double>& steps, Index b, Index h) {
  const auto delta = [&](Index t) { return steps[static_cast<std::size_t>((b * H + h) * L + t)]; };
  const double rate = static_cast<double>(p.rate(h)), scale = 1 / std::sqrt(static_cast<double>(D));
  std::vector<double> y(static_cast<std::size_t>(L * E));
  for (Index i = 0; i < L; ++i) {
    const auto add = [&](Index j, double log_mask) {
      double dot = 0;
      for (Index d = 0; d < D; ++d) dot += static_cast<double>(p.q(b, h, i, d)) * static_cast<double>(p.k(b, h, j, d));
      const double weight = scale * std::exp(log_mask) * delta(j) * dot;
      for (Index e = 0; e < E; ++e) {
        y[static_cast<std::size_t>(i * E + e)] += weight * static_cast<double>(p.v(b, h, j, e));
      }
    };
    add(i, 0);
    // Walking away from token i, each token passed, and the one arrived at, brings its own decay.
    double log_mask = 0;
    for (Index j = i - 1; j >= 0; --j) add(j, log_mask -= delta(j) * rate);
    log_mask = 0;
    for (Index j = i + 1; j < L; ++j) add(j, log_mask -= delta(j) * rate);
  }
  return y;
}

double loss(const Problem& p, const std::vector<double>& steps, Index b, Index h) {
  const std::vector<double> y = dense(p, steps, b, h);
  double sum = 0;
  for (Index i = 0; i < L * E; ++i) {
    sum += y[static_cast<std::size_t>(i)] * static_cast<double>(p.dy.data()[(b * H + h) * L * E + i]);
  }
  return sum;
}

/// Outputs, and the gradient of Δ by central differences of the loss: no formula of a gradient is used.
Result without_lion(const Problem& p) {
  std::vector<double> steps(p.delta.data(), p.delta.data() + p.delta.size());
  Result result;
  for (Index b = 0; b < B; ++b) {
    for (Index h = 0; h < H; ++h) {
      const std::vector<double> y = dense(p, steps, b, h);
      result.y.insert(result.y.end(), y.begin(), y.end());
      for (Index t = 0; t < L; ++t) {
        double& step = steps[static_cast<std::size_t>((b * H + h) * L + t)];
        const double middle = step, width = 1e-5;
        step = middle + width;
        const double above = loss(p, steps, b, h);
        step = middle - width;
        const double below = loss(p, steps, b, h);
        step = middle;
        result.ddelta.push_back((above - below) / (2 * width));
      }
    }
  }
  return result;
}

double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

}  // namespace

int main() try {
  const Problem problem;
  const Result truth = without_lion(problem);
  bool good = true;
  const auto report = [&](const std::string& name, const Result& result) {
    const double y = relative_difference(result.y, truth.y), ddelta = relative_difference(result.ddelta, truth.ddelta);
    const bool ok = y <= 1e-5 && ddelta <= 1e-4;  // NaN is not
    std::printf("%-12s %10.1e %10.1e  %s\n", name.c_str(), y, ddelta, ok ? "ok" : "WRONG");
    good = good && ok;
  };
  std::printf(
      "A mask of one's own: lambda = exp(-delta a), gate = delta. Relative difference to a dense double loop,\n");
  std::printf("and of the gradient of delta to finite differences of that loop:\n\n");
  std::printf("%-12s %10s %10s\n", "form", "y", "d delta");
  report("full", with_lion(problem, lion::form::Full{}));
  report("rnn", with_lion(problem, lion::form::Rnn{}));
  report("chunk of 16", with_lion(problem, lion::form::Chunk{16}));
  report("chunk of 64", with_lion(problem, lion::form::Chunk{64}));
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& error) {
  std::fprintf(stderr, "custom_mask: %s\n", error.what());
  return EXIT_FAILURE;
}
