#include "support/attention_errors.hpp"
#include "support/attention_random.hpp"

// bfloat16 and half as storage, against the float64 definition on the rounded inputs.

namespace {
using namespace lion;
using namespace lion::test;

template <class T>
void round_to(std::vector<double>& x) {
  for (double& value : x) value = static_cast<double>(static_cast<T>(value));
}

template <class T, class M>
void require_storage() {
  Random random(21);
  // y and, where the CPU multiplies bfloat16, the factors of products are rounded by up to 2^-8 of themselves.
  Limits within = limits<T>();
  within.outputs = std::same_as<T, bfloat16> ? 0x1p-8 : 0x1p-10;
  for (const AttentionDims& dims : {AttentionDims{2, 2, 1, 130, 32, 24}, AttentionDims{1, 1, 1, 150, 140, 131},
                                    AttentionDims{1, 2, 2, 96, 40, 72}, AttentionDims{1, 2, 2, 130, 64, 96}}) {
    RandomOptions o;
    o.orders = dims.D == 32 ? 2 : 1;
    o.padded = dims.D == 32;
    Problem p = random_problem(random, dims, M::decay, M::gated, o);
    for (std::vector<double>* x : {&p.q, &p.k, &p.v, &p.dy}) round_to<T>(*x);
    for (std::vector<double>& x : p.log_lambda) round_to<float>(x);
    const Answer wanted = dense_answer(p);
    const auto check = [&](auto form, const char* name, bool keep) {
      INFO(name << ", D " << dims.D << ", keep " << keep);
      RunOptions options;
      options.keep = keep;
      require_close<M>(run<T>(attention_for<M, decltype(form), normalise::RowSum>(p, form), p, options), wanted, dims,
                       within);
    };
    for (const bool keep : {true, false}) {
      check(form::Full{}, "full", keep);
      check(form::Chunk{64}, "chunk", keep);
      check(form::Chunk{1000}, "one chunk", keep);
      check(form::Rnn{}, "rnn", keep);
    }
  }
}

/// Vectors convert as scalars do: every pattern of 16 bits, and what lies between two of them, at and around the
/// middle.
template <class T>
void require_conversions() {
  constexpr Index W = cpu::kWidth<float>;
  Index wrong = 0;
  for (std::uint32_t first = 0; first < 65536; first += static_cast<std::uint32_t>(W)) {
    T from[W], to[W];
    float between[W];
    for (Index j = 0; j < W; ++j) {
      const auto pattern = static_cast<std::uint16_t>(first + static_cast<std::uint32_t>(j));
      from[j] = Eigen::numext::bit_cast<T>(pattern);
    }
    const cpu::Packed<float> wide = cpu::load_converted<float>(from);
    for (Index j = 0; j < W; ++j) {
      const float wanted = static_cast<float>(from[j]);
      wrong += !(wide[j] == wanted || (std::isnan(wide[j]) && std::isnan(wanted)));
    }
    for (const std::uint32_t step : {0x0fffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      for (Index j = 0; j < W; ++j) {
        between[j] = Eigen::numext::bit_cast<float>(Eigen::numext::bit_cast<std::uint32_t>(float(from[j])) ^ step);
      }
      cpu::store_rounded<float>(to, cpu::load(between));
      for (Index j = 0; j < W; ++j) {
        const float got = static_cast<float>(to[j]), wanted = static_cast<float>(static_cast<T>(between[j]));
        wrong += !(got == wanted || (std::isnan(got) && std::isnan(wanted)));
      }
    }
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("16-bit storage, converted by the vector") {
  require_conversions<bfloat16>();
  require_conversions<half>();
}

TEST_CASE("gradients of decays do not gather what rounding leaves, along a long sequence of bfloat16") {
  Random random(22);
  RandomOptions o;
  o.hard = false;
  Problem p = random_problem(random, {1, 1, 1, 16384, 16, 16}, mask::DecayKind::per_token, false, o);
  for (std::vector<double>* x : {&p.q, &p.k, &p.v, &p.dy}) round_to<bfloat16>(*x);
  const auto attention = attention_for<mask::Selective, form::Auto, normalise::RowSum>(p);
  const Answer wanted = run<double>(attention, p), got = run<bfloat16>(attention, p);
  CHECK(relative_error(got.dlog_lambda[0], wanted.dlog_lambda[0]) <= 5e-3);
  CHECK(relative_error(got.dq, wanted.dq) <= 1e-2);
}

TEST_CASE("bfloat16 as storage") {
  require_storage<bfloat16, mask::Linear>();
  require_storage<bfloat16, mask::Decay>();
  require_storage<bfloat16, mask::Selective>();
}

TEST_CASE("half as storage") {
  require_storage<half, mask::Linear>();
  require_storage<half, mask::Decay>();
  require_storage<half, mask::Selective>();
}
