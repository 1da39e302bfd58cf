#pragma once
/// The body of attend_on_gpu.

#include <deque>
#include <vector>

#include "common/gpu.hpp"
#include "lion/cuda.hpp"
#include "lion_attention/on_gpu.hpp"

namespace lion::examples {

template <class Mask>
void attend_on_gpu(const AttentionRun& run, const AttentionCall<Mask, float>& call) {
  const AttentionInputs<float>& in = call.inputs;
  const OnGpu<float, 4> q(in.q.data(), in.q.shape()), k(in.k.data(), in.k.shape()), v(in.v.data(), in.v.shape());
  const OnGpu<bool, 2> key_mask(in.key_mask.data(), in.key_mask.shape());
  std::deque<OnGpu<Index, 1>> numbers;
  const auto upload = [&](std::span<const Index> values) {
    if (values.empty()) return values;
    numbers.emplace_back(values.data(), Shape<1>{static_cast<Index>(values.size())});
    return std::span<const Index>(numbers.back().view().data(), values.size());
  };
  AttentionInputs<float> inputs{q.seen(), k.seen(), v.seen(), {}, upload(in.cu_seqlens)};
  if (in.key_mask) inputs.key_mask = key_mask.seen();

  constexpr bool decays = Mask::decay != mask::DecayKind::none;
  constexpr std::size_t kRank = Mask::decay == mask::DecayKind::per_head ? 1 : 3;
  std::deque<OnGpu<float, kRank>> log_lambdas, dlog_lambdas;
  std::vector<OrderedMask<Mask, float>> masks;
  std::vector<MaskGradients<Mask, float>> mask_gradients;
  for (const OrderedMask<Mask, float>& ordered : call.masks) {
    masks.push_back({{}, upload(ordered.order)});
    mask_gradients.emplace_back();
    if constexpr (decays) {
      const auto& values = ordered.mask.log_lambda;
      log_lambdas.emplace_back(values.data(), values.shape());
      dlog_lambdas.emplace_back(values.shape());
      masks.back().mask = {log_lambdas.back().seen()};
      mask_gradients.back() = {dlog_lambdas.back().view()};
    }
  }
  const std::span<const OrderedMask<Mask, float>> ordered(masks);

  const Shape<4> shape = in.v.shape();
  const OnGpu<float, 4> y(shape), dq(in.q.shape()), dk(in.k.shape()), dv(shape);
  visit_form(run.form, run.chunk_size, [&](auto form) {
    const auto compute = [&](auto normaliser) {
      const Attention<Mask, decltype(form), backend::Cuda, decltype(normaliser)> attention{form, normaliser,
                                                                                           run.settings.scale};
      const std::size_t forward = attention.workspace_size(inputs, masks.size());
      const std::size_t backward = call.dy ? attention.backward_workspace_size(inputs, masks.size()) : 0;
      const cuda::Memory scratch((std::max)(forward, backward));
      Workspace workspace(scratch.data(), scratch.size());
      attention.forward(inputs, ordered, AttentionOutputs<float>{y.view()}, workspace);
      if (!call.dy) return;
      const OnGpu<float, 4> dy(call.dy.data(), shape);
      attention.backward(inputs, ordered, AttentionUpstream<float>{dy.seen()},
                         AttentionGradients<float>{dq.view(), dk.view(), dv.view()},
                         std::span<const MaskGradients<Mask, float>>(mask_gradients), workspace);
      dq.download(call.gradients.dq.data());  // waits, so that dy may go
    };
    run.settings.normalise ? compute(normalise::RowSum{run.settings.epsilon}) : compute(normalise::None{});
  });
  y.download(call.y.data());
  if (!call.dy) return;
  dk.download(call.gradients.dk.data());
  dv.download(call.gradients.dv.data());
  if constexpr (decays) {
    for (std::size_t r = 0; r < masks.size(); ++r) {
      dlog_lambdas[r].download(call.mask_gradients[r].dlog_lambda.data());
    }
  }
}

}  // namespace lion::examples
