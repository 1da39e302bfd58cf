#pragma once
/// The body of run_attention.

#include <array>
#include <span>

#include "lion/cpu/attention.hpp"
#include "lion/mask/decay.hpp"
#include "lion/mask/linear.hpp"
#include "lion/mask/selective.hpp"
#include "lion/order/permutation.hpp"
#include "lion/visit.hpp"
#include "lion_attention/on_gpu.hpp"
#include "lion_attention/operator.hpp"

namespace lion::examples {

/// A mask's tensor in the file and the place of its gradient.
template <class Mask, class T>
struct MaskTensors {
  static constexpr std::size_t rank = Mask::decay == mask::DecayKind::per_head ? 1 : 3;
  Tensor<T, rank> log_lambda, dlog_lambda;  // [H] or [B,H,L]

  /// v has shape [B,H,L,E].
  void read(const io::SafetensorsFile& file, const char* name, const Shape<4>& v) {
    if constexpr (rank == 1) {
      log_lambda = file.read_tensor<T, 1>(name, {v[1]});
    } else {
      log_lambda = file.read_tensor<T, 3>(name, {v[0], v[1], v[2]});
    }
    dlog_lambda = Tensor<T, rank>(log_lambda.shape());
    for (Index i = 0; i < log_lambda.size(); ++i) {  // the operator's own message could not tell which of two it is
      if (log_lambda.data()[i] <= T(0)) continue;
      throw ArgumentError(std::string(name) + " has the value " + std::to_string(log_lambda.data()[i]) +
                          " at position " + std::to_string(i) + ", expected values in [-inf, 0]");
    }
  }
  MaskParameters<Mask, T> parameters() const { return {log_lambda.view()}; }
  MaskGradients<Mask, T> gradients() { return {dlog_lambda.view()}; }
  void write(io::SafetensorsWriter& writer, const char* name) const { writer.add(name, dlog_lambda); }
};

template <class T>
struct MaskTensors<mask::Linear, T> {
  void read(const io::SafetensorsFile&, const char*, const Shape<4>&) {}
  MaskParameters<mask::Linear, T> parameters() const { return {}; }
  MaskGradients<mask::Linear, T> gradients() { return {}; }
  void write(io::SafetensorsWriter&, const char*) const {}
};

template <class Mask, class T>
void run_attention(const AttentionRun& run) {
  const io::SafetensorsFile& file = *run.input;
  const AttentionSettings& settings = run.settings;

  const auto q = file.read_tensor<T, 4>("q");  // [B,Hk,L,D]
  const auto k = file.read_tensor<T, 4>("k");  // [B,Hk,L,D]
  const auto v = file.read_tensor<T, 4>("v");  // [B,H,L,E]
  Tensor<bool, 2> key_mask;                    // [B,L]
  std::vector<Index> cu_seqlens;
  if (file.contains("key_mask")) key_mask = file.read_tensor<bool, 2>("key_mask");
  if (file.contains("cu_seqlens")) {
    const auto lengths = file.read_tensor<Index, 1>("cu_seqlens");
    if (lengths.size() == 0) throw ArgumentError("cu_seqlens is empty, expected at least [0]");
    cu_seqlens.assign(lengths.data(), lengths.data() + lengths.size());
  }
  const AttentionInputs<T> inputs{.q = q, .k = k, .v = v, .key_mask = key_mask, .cu_seqlens = cu_seqlens};

  const std::size_t walks = settings.orders == 2 ? 2 : 1;
  std::array<MaskTensors<Mask, T>, 2> tensors;
  std::array<std::vector<Index>, 2> orders;
  std::vector<OrderedMask<Mask, T>> masks;
  std::vector<MaskGradients<Mask, T>> gradients;
  for (std::size_t r = 0; r < walks; ++r) {
    tensors[r].read(file, r == 0 ? "log_lambda" : "log_lambda2", v.shape());
    if (settings.orders > 0) {
      const char* name = r == 0 ? "order" : "order2";
      const auto order = file.read_tensor<Index, 1>(name, {v.extent(2)});
      orders[r].assign(order.data(), order.data() + order.size());
      if (!order::is_permutation(orders[r])) {
        throw ArgumentError(std::string(name) + " is no permutation of 0 … " + std::to_string(order.size() - 1));
      }
    }
    masks.push_back({tensors[r].parameters(), orders[r]});
    gradients.push_back(tensors[r].gradients());
  }

  Tensor<T, 4> y(v.shape());                                      // [B,H,L,E]
  Tensor<T, 3> row_sum({v.extent(0), v.extent(1), v.extent(2)});  // [B,H,L]
  Tensor<T, 4> dy, dq, dk, dv;                                    // as y, q, k, v
  if (run.backward) {
    dy = file.read_tensor<T, 4>("dy", v.shape());
    dq = Tensor<T, 4>(q.shape());
    dk = Tensor<T, 4>(k.shape());
    dv = Tensor<T, 4>(v.shape());
  }

  const auto on_cpu = [&](auto form) {
    const auto compute = [&](auto normaliser) {
      const Attention<Mask, decltype(form), backend::Cpu, decltype(normaliser)> attention{
          .form = form, .normaliser = normaliser, .scale = settings.scale};
      const std::span<const OrderedMask<Mask, T>> ordered(masks);
      Workspace workspace;
      View<T, 3> sums;
      if constexpr (decltype(normaliser)::divides) sums = row_sum;
      attention.forward(inputs, ordered, AttentionOutputs<T>{y, sums}, workspace, run.executor);
      if (!run.backward) return;
      attention.backward(inputs, ordered, AttentionUpstream<T>{dy, y, sums}, AttentionGradients<T>{dq, dk, dv},
                         std::span<const MaskGradients<Mask, T>>(gradients), workspace, run.executor);
    };
    settings.normalise ? compute(normalise::RowSum{settings.epsilon}) : compute(normalise::None{});
  };
  if (!run.cuda) visit_form(run.form, run.chunk_size, on_cpu);
#ifdef LION_EXAMPLES_CUDA
  if constexpr (std::same_as<T, float>) {
    if (run.cuda) {
      attend_on_gpu<Mask>(run, {inputs, masks, y, dy.view(), {dq.view(), dk.view(), dv.view()}, gradients});
    }
  }
#endif

  io::SafetensorsWriter writer;
  for (const auto& [key, value] : file.metadata()) {
    if (key == "kind" || key == "note") writer.set_metadata(key, value);
  }
  writer.set_metadata("mask", settings.mask);
  writer.set_metadata("form", run.form);
  writer.add("y", y);
  if (run.backward) {
    writer.add("dq", dq);
    writer.add("dk", dk);
    writer.add("dv", dv);
    for (std::size_t r = 0; r < walks; ++r) tensors[r].write(writer, r == 0 ? "dlog_lambda" : "dlog_lambda2");
  }
  writer.write(run.output);
}

}  // namespace lion::examples
