#pragma once
/// Hydra's mixer (Hwang et al., arXiv 2407.09941): a quasiseparable matrix over the tokens (math.md §9).

#include "lion/nn/hydra_layout.hpp"
#include "lion/nn/hydra_scan.hpp"
#include "lion/nn/rms_norm.hpp"

namespace lion::nn {

/// Tokens u [B·L,C] to out_proj(norm(scan forward + scan backward + diagonal) · SiLU(z)), I = expand·C the inner width,
/// H = I / head heads, N the width of a state:
///
///     z, xBC, dt = in_proj(u)        x, B, C, B', C' = SiLU(conv1d(xBC))     Δ, Δ' = softplus(dt + dt_bias)
///     forward    S_t = e^(Δ_t a) S_{t−1} + Δ_t B_t x_tᵀ      token t+1 takes C_tᵀ S_t, nothing of its own
///     backward   the same with B', C', Δ' from the end       token t−1 takes C'_tᵀ S'_t
///     diagonal   x_t · (fc_D(x_t) + D), one number per head
///
/// The scans are lion::Attention in one direction: one query C and one key B for all heads, the value x, the gate Δ on
/// the key and log λ = Δ a of the token that comes next; a = −e^A_log. Neither convolution, shift nor scans cross the
/// sequences of cu_seqlens.
///
/// Padded tokens have Δ = 0 and convolve as zeros: states pass them unchanged, so that at the ends of a sequence they
/// are as if cut off. One in the middle keeps its place, whatever stands there: the convolution's seven taps count it,
/// and the token after (backward: before) it takes the state through the padded token's C, made of its neighbours
/// alone.
template <Real S>
class HydraMixer {
 public:
  using Buffers = HydraBuffers<S>;
  using Tape = HydraTape<S>;
  using Scratch = HydraScratch<S>;

  HydraMixer() = default;
  /// Parameters `name`.in_proj.weight [2I+4N+2H,C], conv1d.weight [I+4N,1,7], conv1d.bias, dt_bias [H], A_log [H],
  /// D [H], fc_D.weight [H,I], norm.weight [I], out_proj.weight [C,I]. Throws ArgumentError unless `head` divides I.
  HydraMixer(const std::string& name, Index width, Index state, Index head, Index expand = 2)
      : inner_(expand * width), state_(state), heads_(head > 0 ? inner_ / head : 0) {
    if (state < 1) throw ArgumentError("hydra: d_state is " + std::to_string(state) + ", expected at least 1");
    if (head < 1 || inner_ % head != 0) {
      throw ArgumentError("hydra: head_dim is " + std::to_string(head) + ", expected a divisor of the inner width " +
                          std::to_string(inner_));
    }
    in_proj = Linear<S>::without_bias(name + ".in_proj", width, projected());
    conv1d = DepthwiseConv<S>(name + ".conv1d", mixed(), 7, Reach::both);
    dt_bias = Parameter<S>::without_grad(name + ".dt_bias", {heads_}, false);
    a_log = Parameter<S>::without_grad(name + ".A_log", {heads_}, false);
    fc_d = Linear<S>(name + ".fc_D", inner_, heads_);
    fc_d.bias.name = name + ".D";
    norm = RmsNorm<S>(name + ".norm", inner_);
    out_proj = Linear<S>::without_bias(name + ".out_proj", inner_, width);
  }

  /// Projections truncated normal, D 1; drawn as for Mamba-2 (arXiv 2405.21060), where math.md §9 leaves it open: each
  /// head's a = −e^A_log uniformly from -1 to -16, its step size log-uniformly from 0.001 to 0.1.
  void initialise(const PlacedRandom& random) {
    in_proj.initialise(random.stream(1));
    conv1d.initialise(random.stream(2));
    initialise_steps(dt_bias, random.stream(3));
    for (Index h = 0; h < heads_; ++h) {
      a_log.value(h) = static_cast<S>(std::log(1 + 15 * random.stream(4).uniform(static_cast<std::uint64_t>(h))));
    }
    fc_d.initialise(random.stream(5));
    fc_d.bias.value.fill(S(1));
    out_proj.initialise(random.stream(6));
  }

  /// The form of both scans from now on.
  void set_form(const form::Any& form) { form_ = form; }

  Index width() const { return out_proj.out(); }
  Index inner() const { return inner_; }
  Index state() const { return state_; }
  Index heads() const { return heads_; }
  Index projected() const { return 2 * inner_ + 4 * state_ + 2 * heads_; }
  Index mixed() const { return inner_ + 4 * state_; }

  /// Bytes of `workspace` in forward.
  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    return (std::max)(past().workspace_size(batch, executor), future().workspace_size(batch, executor));
  }

  /// x += mixer(z); z [N,C] may be x.
  void forward(const View<S, 2>& z, const View<S, 2>& x, const Buffers& buffers, const TokenBatch& batch,
               Workspace& workspace, const Executor& executor) const {
    mix(z, buffers.tape, buffers.scans, buffers.tape.sum, batch, workspace, executor);
    out_proj.forward(buffers.tape.sum, x, executor, x);
  }

  /// out = mixer(z), keeping on the tape what backward needs (beside z).
  void forward_train(const View<const S, 2>& z, const View<S, 2>& out, const Tape& tape, const Scratch& scratch,
                     const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    mix(z, tape, scratch.scans, scratch.normal, batch, workspace, executor);
    out_proj.forward(scratch.normal, out, executor);
  }

  /// dz [N,C] (overwritten) from dout; the weights' gradients are added.
  void backward(const View<const S, 2>& dout, const View<const S, 2>& z, const Tape& tape, const Scratch& scratch,
                const View<S, 2>& dz, const TokenBatch& batch, Workspace& workspace, const Executor& executor) {
    const View<S, 2>&dsum = scratch.normal, &dbranch = scratch.branch;
    output_backward(dout, tape, scratch, executor);
    shift_backward(dsum, tape, scratch, batch, executor);
    const View<S, 2>& dmixed = scratch.dmixed;
    past().backward(tape.mixed, tape.steps, tape.log_lambda, scratch.scans.past, dmixed, dmixed.data(), mixed(),
                    scratch.dlog_lambda, scratch.dgates, batch, workspace, executor);
    future().backward(tape.mixed, tape.steps, tape.log_lambda, scratch.scans.future, dmixed, dbranch.data(), inner_,
                      scratch.dlog_lambda, scratch.dgates, batch, workspace, executor);
    const Index head = inner_ / heads_;
    detail::for_each_block(batch.tokens(), kRowBlock / 4, executor, [&](Index first, Index n) {
      for (Index t = first; t < first + n; ++t) {
        Row(dmixed.at(t), inner_) += Row(dbranch.at(t), inner_);
        for (Index h = 0; h < heads_; ++h) {
          Row(dmixed.at(t, h * head), head) += tape.diagonal(t, h) * Row(dsum.at(t, h * head), head);
        }
      }
    });
    const View<S, 2> x = columns(tape.mixed, 0, inner_), dx = columns(dmixed, 0, inner_);
    fc_d.backward_weights(scratch.ddiagonal, x, executor);
    fc_d.backward_input(scratch.ddiagonal, dx, executor, true);
    conv1d.backward(dmixed, columns(tape.projected, inner_, mixed()), columns(scratch.dprojected, inner_, mixed()),
                    false, batch, executor);
    Sequences(batch).clear_padding(scratch.dprojected, inner_, mixed(), executor);
    steps_backward(tape, scratch, batch, executor);
    in_proj.backward_weights(scratch.dprojected, z, executor);
    in_proj.backward_input(scratch.dprojected, dz, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    in_proj.for_each_parameter(f);
    conv1d.for_each_parameter(f);
    f(dt_bias);
    f(a_log);
    fc_d.for_each_parameter(f);
    norm.for_each_parameter(f);
    out_proj.for_each_parameter(f);
  }

  Linear<S> in_proj;
  DepthwiseConv<S> conv1d;
  Parameter<S> dt_bias, a_log;  ///< [H]
  Linear<S> fc_d;               ///< its bias is D
  RmsNorm<S> norm;
  Linear<S> out_proj;

 private:
  using Row = Eigen::Map<Eigen::Array<S, -1, 1>>;

  HydraScan<S, direction::Forward> past() const { return {form_, inner_, heads_, state_, 0}; }
  HydraScan<S, direction::Backward> future() const { return {form_, inner_, heads_, state_, 1}; }

  S rate(Index h) const { return -std::exp(a_log.value(h)); }

  /// Everything before out_proj, into `gated` [N,I], which may be tape.sum.
  void mix(const View<const S, 2>& z, const Tape& tape, const HydraScans<S>& scans, const View<S, 2>& gated,
           const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    in_proj.forward(z, tape.projected, executor);
    Sequences(batch).clear_padding(tape.projected, inner_, mixed(), executor);
    conv1d.forward(columns(tape.projected, inner_, mixed()), tape.mixed, batch, executor);
    steps(tape, batch, executor);
    fc_d.forward(columns(tape.mixed, 0, inner_), tape.diagonal, executor);
    past().forward(tape.mixed, tape.steps, tape.log_lambda, scans.past, batch, workspace, executor);
    future().forward(tape.mixed, tape.steps, tape.log_lambda, scans.future, batch, workspace, executor);
    const Sequences sequences(batch);
    const Index head = inner_ / heads_;
    detail::for_each_block(batch.tokens(), kRowBlock / 8, executor, [&](Index first, Index n) {
      sequences.for_each_run(first, n, [&](Stretch sequence, Index row, Index run) {
        for (Index t = row; t < row + run; ++t) {
          for (Index h = 0; h < heads_; ++h) {
            Row(tape.sum.at(t, h * head), head) = tape.diagonal(t, h) * Row(tape.mixed.at(t, h * head), head);
          }
          Row sum(tape.sum.at(t), inner_);
          if (t > sequence.first) sum += Row(scans.past.at(t - 1), inner_);
          if (t + 1 < sequence.end()) sum += Row(scans.future.at(t + 1), inner_);
        }
      });
      norm.forward(rows(tape.sum, first, n), rows(gated, first, n), {}, rows(tape.statistics, first, n));
      for (Index t = first; t < first + n; ++t) multiply_by_silu(tape.projected.at(t), gated.at(t), inner_);
    });
  }

  /// Δ [N,2H], and the log decays of both scans, Δ a of the token whose arrival they meet.
  void steps(const Tape& tape, const TokenBatch& batch, const Executor& executor) const {
    const Sequences sequences(batch);
    S *past = tape.log_lambda, *future = past + batch.tokens() * heads_;
    for (Index h = 0; h < heads_; ++h) tape.rates[h] = rate(h);
    detail::for_each_block(batch.tokens(), kRowBlock, executor, [&](Index first, Index n) {
      sequences.for_each_run(first, n, [&](Stretch sequence, Index row, Index run) {
        const Row a(tape.rates, heads_);
        for (Index t = row; t < row + run; ++t) {
          Row both(tape.steps.at(t), 2 * heads_), forth(both.data(), heads_), back(both.data() + heads_, heads_);
          const Eigen::Map<const Eigen::Array<S, -1, 1>> offset(dt_bias.value.data(), heads_);
          both = Row(tape.projected.at(t, 2 * inner_ + 4 * state_), 2 * heads_);
          forth += offset;
          back += offset;
          softplus(both.data(), both.size());
          if (sequences.is_padding(t)) both.setZero();
          if (t > sequence.first) Row(past + (t - 1) * heads_, heads_) = a * forth;
          if (t + 1 == sequence.end()) Row(past + t * heads_, heads_).setZero();
          if (t + 1 < sequence.end()) Row(future + (t + 1) * heads_, heads_) = a * back;
          if (t == sequence.first) Row(future + t * heads_, heads_).setZero();
        }
      });
    });
  }

  /// From dout to the gradient of the sum (scratch.normal) and of z; the weights' gradients of out_proj and norm.
  void output_backward(const View<const S, 2>& dout, const Tape& tape, const Scratch& scratch,
                       const Executor& executor) {
    const View<S, 2>&gated = scratch.normal, &dnormal = scratch.branch;
    out_proj.backward_input(dout, dnormal, executor);
    detail::for_each_block(dout.extent(0), kRowBlock / 8, executor, [&](Index first, Index n) {
      norm.forward(rows(tape.sum, first, n), rows(gated, first, n), {});
      for (Index t = first; t < first + n; ++t) {
        gated_backward(tape.projected.at(t), gated.at(t), dnormal.at(t), scratch.dprojected.at(t), inner_);
      }
    });
    out_proj.backward_weights(dout, gated, executor);
    norm.backward(dnormal, tape.sum, tape.statistics, gated, scratch.norm, executor, false);
  }

  /// What the scans and the diagonal receive of dsum [N,I].
  void shift_backward(const View<const S, 2>& dsum, const Tape& tape, const Scratch& scratch, const TokenBatch& batch,
                      const Executor& executor) const {
    const Sequences sequences(batch);
    const Index head = inner_ / heads_;
    using ConstRow = Eigen::Map<const Eigen::Array<S, -1, 1>>;
    detail::for_each_block(batch.tokens(), kRowBlock / 8, executor, [&](Index first, Index n) {
      sequences.for_each_run(first, n, [&](Stretch sequence, Index row, Index run) {
        for (Index t = row; t < row + run; ++t) {
          Row past(scratch.scans.past.at(t), inner_), future(scratch.scans.future.at(t), inner_);
          if (t + 1 < sequence.end()) {
            past = ConstRow(dsum.at(t + 1), inner_);
          } else {
            past.setZero();
          }
          if (t > sequence.first) {
            future = ConstRow(dsum.at(t - 1), inner_);
          } else {
            future.setZero();
          }
          for (Index h = 0; h < heads_; ++h) {
            scratch.ddiagonal(t, h) =
                (ConstRow(dsum.at(t, h * head), head) * Row(tape.mixed.at(t, h * head), head)).sum();
          }
        }
      });
    });
  }

  /// From the gradients of decays and gates to those of dt, dt_bias and A_log.
  void steps_backward(const Tape& tape, const Scratch& scratch, const TokenBatch& batch, const Executor& executor) {
    const Sequences sequences(batch);
    const Index tokens = batch.tokens(), first_column = 2 * inner_ + 4 * state_;
    const View<S, 2> dsteps = columns(scratch.dprojected, first_column, 2 * heads_);
    const S *dpast = scratch.dlog_lambda, *dfuture = dpast + tokens * heads_;
    using ConstRow = Eigen::Map<const Eigen::Array<S, -1, 1>>;
    // What each step takes through its decay alone is kept for A_log, which d(Δ a) = a dΔ + Δ a dA_log needs.
    detail::for_each_block(tokens, kRowBlock, executor, [&](Index first, Index n) {
      sequences.for_each_run(first, n, [&](Stretch sequence, Index row, Index run) {
        const ConstRow a(tape.rates, heads_);
        for (Index t = row; t < row + run; ++t) {
          Row both(dsteps.at(t), 2 * heads_), forth(both.data(), heads_), back(both.data() + heads_, heads_);
          Row through(scratch.through_decay + t * 2 * heads_, 2 * heads_);
          through.setZero();
          if (t > sequence.first) through.head(heads_) = a * ConstRow(dpast + (t - 1) * heads_, heads_);
          if (t + 1 < sequence.end()) through.tail(heads_) = a * ConstRow(dfuture + (t + 1) * heads_, heads_);
          const Row step(tape.steps.at(t), 2 * heads_);
          both = (ConstRow(scratch.dgates + t * 2 * heads_, 2 * heads_) + through) * -(-step).expm1();
          through *= step;
        }
      });
    });
    executor.for_each_task(heads_, [&](Index h, Index) {
      double of_bias = 0, of_rate = 0;
      for (Index t = 0; t < tokens; ++t) {
        for (const Index c : {h, heads_ + h}) {
          of_bias += static_cast<double>(dsteps(t, c));
          of_rate += static_cast<double>(scratch.through_decay[t * 2 * heads_ + c]);
        }
      }
      dt_bias.grad(h) += static_cast<S>(of_bias);
      a_log.grad(h) += static_cast<S>(of_rate);
    });
  }

  Index inner_ = 0, state_ = 0, heads_ = 1;
  form::Any form_;
};

}  // namespace lion::nn
