#include "support/attention_emulated.hpp"
#include "support/require_error.hpp"

namespace {

using namespace lion;
using namespace lion::test;
using Op = cuda::Operator<mask::Selective, form::Chunk, normalise::RowSum, direction::Both>;

/// Shapes alone: a refused call reads no tensor.
struct Call {
  Shape<4> q{1, 2, 5, 4}, v{1, 2, 5, 3}, y{1, 2, 5, 3};
  Shape<3> log_lambda{1, 2, 5};
  std::vector<Index> order{}, cu_seqlens{};
  std::size_t orders = 1;
  Op op{};
  std::size_t given = 1 << 20;

  void run() const {
    const View<const float, 4> queries(nullptr, q), values(nullptr, v);
    const OrderedMask<mask::Selective, float> mask{{{nullptr, log_lambda}}, order};
    std::vector<std::byte> bytes(given);
    Workspace workspace(bytes.data(), given);
    op.forward<float>(simt::Emulated{}, {.q = queries, .k = queries, .v = values, .cu_seqlens = cu_seqlens},
                      {&mask, orders}, {View<float, 4>(nullptr, y)}, workspace);
  }
  void refused(const std::string& message) const {
    require_error<ArgumentError>([&] { run(); }, message);
  }
};

}  // namespace

TEST_CASE("the door of the kernels says what is wrong before anything is started") {
  Call{.q = {1, 2, 5, 129}}.refused("attention: q has width 129, expected at most 128 with backend::Cuda");
  Call{.v = {1, 2, 5, 200}, .y = {1, 2, 5, 200}}.refused(
      "attention: v has width 200, expected at most 128 with backend::Cuda");
  Call{.q = {32768, 1, 5, 4}, .v = {32768, 1, 5, 3}, .y = {32768, 1, 5, 3}, .log_lambda = {32768, 1, 5}}.refused(
      "attention: v has shape [32768,1,5,3], expected at most 65535 heads and 32767 batch entries");
  Call{.v = {1, 2, 6, 3}, .y = {1, 2, 6, 3}}.refused("attention: v has shape [1,2,6,3], expected [1,*,5,*] to match k");
  Call{.log_lambda = {1, 2, 4}}.refused("attention: log_lambda has shape [1,2,4], expected [1,2,5] to match v");
  Call{.order = {0, 1, 2}}.refused("attention: order has 3 entries, expected 5");
  Call{.op = {form::Chunk{0}}}.refused("attention: form::Chunk has size 0, expected at least 1");
  Call{.v = {1, 3, 5, 3}, .y = {1, 3, 5, 3}}.refused(
      "attention: q has 2 heads, expected a divisor of the 3 heads of v");
  Call{.y = {1, 2, 5, 4}}.refused("attention: y has shape [1,2,5,4], expected [1,2,5,3] to match v");
  Call{.cu_seqlens = {0}}.refused("attention: cu_seqlens has 1 entry, expected at least 2 for 5 tokens");
  Call{.orders = 0}.refused("attention: masks is empty, expected at least one");
  Call{.q = {1, 2, 100, 4}, .v = {1, 2, 100, 3}, .y = {1, 2, 100, 3}, .log_lambda = {1, 2, 100}, .given = 10}.refused(
      "workspace: 10 bytes given, expected at least 41104");
  require_error<ArgumentError>(
      [] {
        Workspace own;
        const View<const float, 4> q(nullptr, {1, 1, 5, 4});
        const OrderedMask<mask::Selective, float> mask{{{nullptr, {1, 1, 5}}}};
        Op{}.forward<float>(simt::Emulated{}, {q, q, q}, {&mask, 1}, {View<float, 4>(nullptr, q.shape())}, own);
      },
      "attention: workspace has memory of its own, expected one over the device's memory");
}

TEST_CASE("the door of the backward kernels says what is wrong before anything is started") {
  const Shape<4> shape{1, 2, 5, 4};
  const View<const float, 4> in(nullptr, shape);
  const View<float, 4> out(nullptr, shape);
  const MaskGradients<mask::Selective, float> slopes{{nullptr, {1, 2, 5}}};
  const auto refused = [&](const AttentionUpstream<float>& upstream, const AttentionGradients<float>& gradients,
                           std::span<const MaskGradients<mask::Selective, float>> of_masks,
                           const std::string& message) {
    const OrderedMask<mask::Selective, float> mask{{{nullptr, {1, 2, 5}}}};
    std::vector<std::byte> bytes(100);
    Workspace workspace(bytes.data(), bytes.size());
    require_error<ArgumentError>(
        [&] {
          Op{}.backward<float>(simt::Emulated{}, {in, in, in}, {&mask, 1}, upstream, gradients, of_masks, workspace);
        },
        message);
  };
  const View<float, 4> narrow(nullptr, {1, 2, 5, 3});
  const View<const float, 3> row_sum(nullptr, {1, 2, 5});
  const std::span one(&slopes, 1);
  refused({narrow}, {out, out, out}, one, "attention: dy has shape [1,2,5,3], expected [1,2,5,4] to match v");
  refused({in, in}, {out, out, out}, one, "attention: row_sum is absent, expected y and row_sum both, or neither");
  refused({in, in, row_sum}, {narrow, out, out}, one,
          "attention: dq has shape [1,2,5,3], expected [1,2,5,4] to match q");
  refused({in}, {out, out, out}, {}, "attention: there are 0 mask gradients, expected 1");
  const MaskGradients<mask::Selective, float> short_slopes{{nullptr, {1, 2, 4}}};
  refused({in}, {out, out, out}, {&short_slopes, 1},
          "attention: dlog_lambda has shape [1,2,4], expected [1,2,5] to match v");
  refused({in}, {out, out, out}, one, "workspace: 100 bytes given, expected at least 552");
}

TEST_CASE("form::Auto plans by the heads and lengths of a call") {
  const auto scratch = [](auto form, const Shape<4>& shape, std::size_t sequences) {
    const std::vector<Index> cuts(sequences > 1 ? sequences + 1 : 0);  // on a device they are not to be read
    const View<const bfloat16, 4> x(nullptr, shape);
    const AttentionInputs<bfloat16> in{.q = x, .k = x, .v = x, .cu_seqlens = cuts};
    return cuda::Operator<mask::Selective, decltype(form), normalise::RowSum, direction::Both>{form}.workspace_size(in,
                                                                                                                    1);
  };
  CHECK(scratch(form::Auto{}, {64, 12, 197, 64}, 1) == 0);  // one chunk: no states
  CHECK(scratch(form::Auto{}, {64, 12, 6085, 64}, 1) == scratch(form::Chunk{128}, {64, 12, 6085, 64}, 1));
  CHECK(scratch(form::Auto{}, {1, 1, 1025, 64}, 1) == 0);
  CHECK(scratch(form::Auto{}, {1, 12, 64 * 197, 64}, 64) == scratch(form::Chunk{197}, {1, 12, 64 * 197, 64}, 64));
  CHECK(scratch(form::Auto{}, {0, 12, 9, 64}, 1) == 0);
}
