#pragma once
/// Runs the operator on a Problem and gives its results in float64. Outputs and scratch are poisoned with NaN first.

#include <cstring>
#include <limits>

#include "lion/lion.hpp"
#include "support/attention_problem.hpp"

namespace lion::test {

/// How the tensors lie in memory.
enum class Layout {
  dense,   ///< [B,H,L,width]
  tokens,  ///< [B,L,H,width + 3]: heads inside tokens, rows apart, as in a fused buffer
};

/// A tensor [B,H,L,width] in either layout.
template <class T>
class Laid {
 public:
  Laid(Layout layout, const Shape<4>& shape) : shape_(shape) {
    const Index row = layout == Layout::dense ? shape[3] : shape[3] + 3;
    strides_ =
        layout == Layout::dense ? dense_strides(shape) : Shape<4>{shape[2] * shape[1] * row, row, shape[1] * row, 1};
    data_.assign(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * row),
                 static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
  }
  void set(const std::vector<double>& values) {
    std::size_t at = 0;
    for_each([&](T& x) { x = static_cast<T>(values[at++]); });
  }
  std::vector<double> get() {
    std::vector<double> values;
    for_each([&](T& x) { values.push_back(static_cast<double>(x)); });
    return values;
  }
  View<T, 4> view() { return {data_.data(), shape_, strides_}; }

 private:
  template <class F>
  void for_each(F&& f) {
    for (Index b = 0; b < shape_[0]; ++b)
      for (Index h = 0; h < shape_[1]; ++h)
        for (Index t = 0; t < shape_[2]; ++t)
          for (Index e = 0; e < shape_[3]; ++e) f(view()(b, h, t, e));
  }
  Shape<4> shape_, strides_;
  std::vector<T> data_;
};

/// Parameters and gradients of a mask over vectors [B,H,L].
template <class M, class A>
struct MaskStorage;

template <class A>
struct MaskStorage<mask::Linear, A> {
  MaskStorage(const Problem&, std::size_t) {}
  mask::Linear::Parameters<A> parameters() { return {}; }
  mask::Linear::Gradients<A> gradients() { return {}; }
  std::vector<double> dlog_lambda() { return {}; }
};

template <class A>
struct MaskStorage<mask::Decay, A> {
  MaskStorage(const Problem& p, std::size_t r) : H(p.dims.H) {
    for (Index h = 0; h < H; ++h)
      values.push_back(
          p.log_lambda[r].empty() ? A(0) : static_cast<A>(p.log_lambda[r][static_cast<std::size_t>(h * p.dims.L)]));
    slopes.assign(values.size(), std::numeric_limits<A>::quiet_NaN());
  }
  mask::Decay::Parameters<A> parameters() { return {{values.data(), {H}}}; }
  mask::Decay::Gradients<A> gradients() { return {{slopes.data(), {H}}}; }
  std::vector<double> dlog_lambda() { return {slopes.begin(), slopes.end()}; }
  Index H;
  std::vector<A> values, slopes;
};

template <class A>
struct MaskStorage<mask::Selective, A> {
  MaskStorage(const Problem& p, std::size_t r)
      : shape{p.dims.B, p.dims.H, p.dims.L}, values(p.log_lambda[r].begin(), p.log_lambda[r].end()) {
    slopes.assign(values.size(), std::numeric_limits<A>::quiet_NaN());
  }
  mask::Selective::Parameters<A> parameters() { return {{values.data(), shape}}; }
  mask::Selective::Gradients<A> gradients() { return {{slopes.data(), shape}}; }
  std::vector<double> dlog_lambda() { return {slopes.begin(), slopes.end()}; }
  Shape<3> shape;
  std::vector<A> values, slopes;
};

struct RunOptions {
  Layout layout = Layout::dense;
  bool keep = true;  ///< give y and δ of the forward pass to backward
  bool backward = true;
  Executor executor{};
};

/// Tensors of a problem in type T.
template <class T, class M>
struct Setup {
  using A = accumulator_t<T>;
  Setup(const Problem& p, Layout layout)
      : q(layout, {p.dims.B, p.dims.Hk, p.dims.L, p.dims.D}),
        k(q),
        v(layout, {p.dims.B, p.dims.H, p.dims.L, p.dims.E}),
        dy(v),
        y(v),
        dv(v),
        dq(q),
        dk(q),
        row_sum(static_cast<std::size_t>(p.dims.B * p.dims.H * p.dims.L), std::numeric_limits<A>::quiet_NaN()),
        row_sum_shape{p.dims.B, p.dims.H, p.dims.L} {
    q.set(p.q);
    k.set(p.k);
    v.set(p.v);
    dy.set(p.dy);
    key_mask.reset(new bool[p.key_mask.size() + 1]);
    std::copy(p.key_mask.begin(), p.key_mask.end(), key_mask.get());
    in = {q.view(), k.view(), v.view()};
    if (!p.key_mask.empty()) in.key_mask = {key_mask.get(), {p.dims.B, p.dims.L}};
    in.cu_seqlens = p.cu_seqlens;
    for (std::size_t r = 0; r < p.log_lambda.size(); ++r) storage.emplace_back(p, r);
    for (std::size_t r = 0; r < p.log_lambda.size(); ++r) {
      masks.push_back({storage[r].parameters(), p.orders[r]});
      slopes.push_back(storage[r].gradients());
    }
  }

  void take_gradients(Answer& a) {
    a.dq = dq.get();
    a.dk = dk.get();
    a.dv = dv.get();
    for (auto& of_mask : storage) {
      a.dlog_lambda.push_back(of_mask.dlog_lambda());
      if constexpr (M::gated) a.dgate.push_back(of_mask.dgate());
    }
  }

  Laid<T> q, k, v, dy, y, dv, dq, dk;
  std::vector<A> row_sum;
  Shape<3> row_sum_shape;
  std::unique_ptr<bool[]> key_mask;
  AttentionInputs<T> in;
  std::vector<MaskStorage<M, A>> storage;
  std::vector<OrderedMask<M, T>> masks;
  std::vector<MaskGradients<M, T>> slopes;
};

/// Scratch full of NaN, at an odd address.
class PoisonedScratch {
 public:
  explicit PoisonedScratch(std::size_t size) : bytes_(size + 1, std::byte(0xff)) {}
  Workspace workspace() { return Workspace(bytes_.data() + 1, bytes_.size() - 1); }

 private:
  std::vector<std::byte> bytes_;
};

template <class T, class M, class F, class N, class Dir>
Answer run(const Attention<M, F, backend::Cpu, N, Dir>& attention, const Problem& p, const RunOptions& options = {}) {
  Setup<T, M> s(p, options.layout);
  const View<accumulator_t<T>, 3> row_sum(s.row_sum.data(), s.row_sum_shape);
  Answer a;
  {
    PoisonedScratch scratch(attention.workspace_size(s.in, options.executor, s.masks.size()));
    Workspace workspace = scratch.workspace();
    attention.forward(s.in, s.masks, {s.y.view(), row_sum}, workspace, options.executor);
  }
  a.y = s.y.get();
  a.row_sum.assign(s.row_sum.begin(), s.row_sum.end());
  if (!options.backward) return a;
  const bool keep = N::divides && options.keep;
  PoisonedScratch scratch(attention.backward_workspace_size(s.in, options.executor, s.masks.size(), keep));
  Workspace workspace = scratch.workspace();
  AttentionUpstream<T> upstream{s.dy.view()};
  if (keep) upstream = {s.dy.view(), s.y.view(), row_sum};
  attention.backward(s.in, s.masks, upstream, {s.dq.view(), s.dk.view(), s.dv.view()}, s.slopes, workspace,
                     options.executor);
  s.take_gradients(a);
  return a;
}

/// The attention of a problem's options in a form.
template <class M, class F, class N, class Dir = direction::Both>
Attention<M, F, backend::Cpu, N, Dir> attention_for(const Problem& p, F form = {}) {
  Attention<M, F, backend::Cpu, N, Dir> attention;
  attention.form = form;
  attention.scale = p.scale;
  if constexpr (N::divides) attention.normaliser.epsilon = p.epsilon;
  return attention;
}

}  // namespace lion::test
