#pragma once
/// Vim's mixer (Zhu et al., arXiv 2401.09417): Mamba-1 in both directions (math.md §9).

#include <array>

#include "lion/nn/depthwise_conv.hpp"
#include "lion/nn/layout.hpp"
#include "lion/nn/selective_scan.hpp"
#include "lion/nn/state_space.hpp"

namespace lion::nn {

/// What one direction computes on its way; N = B·L tokens.
template <Real S>
struct VimTrack {
  View<S, 2> mixed;     ///< [N,I] x after the convolution
  View<S, 2> selected;  ///< [N,R+2N'] of x_proj: raw Δ, b, c
  View<S, 2> delta;     ///< [N,I]
  S* rates;             ///< [I,N'] a

  template <class Mixer>
  VimTrack(const Mixer& mixer, const TokenBatch& batch, Arena& arena)
      : mixed(take_matrix<S>(arena, batch.tokens(), mixer.inner())),
        selected(take_matrix<S>(arena, batch.tokens(), mixer.selected())),
        delta(take_matrix<S>(arena, batch.tokens(), mixer.inner())),
        rates(arena.take<S>(mixer.inner() * mixer.state())) {}
};

/// What a training step keeps for backward.
template <Real S>
struct VimTape {
  View<S, 2> projected;  ///< [N,2I] x and z
  std::array<VimTrack<S>, 2> tracks;
  View<S, 2> sum;  ///< [N,I] of both scans

  template <class Mixer>
  VimTape(const Mixer& mixer, const TokenBatch& batch, Arena& arena)
      : projected(take_matrix<S>(arena, batch.tokens(), 2 * mixer.inner())),
        tracks{VimTrack<S>(mixer, batch, arena), VimTrack<S>(mixer, batch, arena)},
        sum(take_matrix<S>(arena, batch.tokens(), mixer.inner())) {}
};

/// Buffers of inference that mixers share: five of [N,I], beside a few values per token. Both directions use one track.
template <Real S>
struct VimBuffers {
  View<S, 2> projected;  ///< [N,2I]
  VimTrack<S> track;
  View<S, 2> sum;  ///< [N,I]

  template <class Mixer>
  VimBuffers(const Mixer& mixer, const TokenBatch& batch, Arena& arena)
      : projected(take_matrix<S>(arena, batch.tokens(), 2 * mixer.inner())),
        track(mixer, batch, arena),
        sum(take_matrix<S>(arena, batch.tokens(), mixer.inner())) {}
};

/// Buffers of training that mixers share.
template <Real S>
struct VimScratch {
  View<S, 2> gated, dsum;     ///< [N,I]
  View<S, 2> dmixed, ddelta;  ///< [N,I]
  View<S, 2> dselected;       ///< [N,R+2N']
  View<S, 2> dprojected;      ///< [N,2I]
  S* drates;                  ///< [I,N']

  template <class Mixer>
  VimScratch(const Mixer& mixer, const TokenBatch& batch, Arena& arena)
      : gated(take_matrix<S>(arena, batch.tokens(), mixer.inner())),
        dsum(take_matrix<S>(arena, batch.tokens(), mixer.inner())),
        dmixed(take_matrix<S>(arena, batch.tokens(), mixer.inner())),
        ddelta(take_matrix<S>(arena, batch.tokens(), mixer.inner())),
        dselected(take_matrix<S>(arena, batch.tokens(), mixer.selected())),
        dprojected(take_matrix<S>(arena, batch.tokens(), 2 * mixer.inner())),
        drates(arena.take<S>(mixer.inner() * mixer.state())) {}
};

/// Tokens h [B·L,C] to out_proj((scan forward + scan backward) · SiLU(z) / 2), I = expand·C the inner width, R =
/// ⌈C/16⌉:
///
///     x, z = in_proj(h);   in each direction, with parameters of its own:
///     x̃ = SiLU(conv1d(x)) causally      Δ, b, c = x_proj(x̃)      Δ = softplus(dt_proj(Δ))      a = −e^A_log
///     y = the selective scan of x̃ under Δ, a, b, c, D (nn/selective_scan.hpp)
///
/// Padded tokens have Δ = 0 and convolve as zeros, so others do not notice them; neither convolution nor scans cross
/// the sequences of cu_seqlens.
template <Real S>
class VimMixer {
 public:
  using Buffers = VimBuffers<S>;
  using Tape = VimTape<S>;
  using Scratch = VimScratch<S>;

  VimMixer() = default;
  /// Parameters `name`.in_proj.weight [2I,C], out_proj.weight [C,I] and per direction (the second's with suffix _b):
  /// conv1d.weight [I,1,4], conv1d.bias, x_proj.weight [R+2N,I], dt_proj.weight [I,R], dt_proj.bias, A_log (A_b_log)
  /// [I,N], D [I].
  VimMixer(const std::string& name, Index width, Index state, Index expand = 2)
      : inner_(expand * width), state_(state), rank_(detail::blocks(width, 16)) {
    if (state < 1) throw ArgumentError("vim: d_state is " + std::to_string(state) + ", expected at least 1");
    in_proj = Linear<S>::without_bias(name + ".in_proj", width, 2 * inner_);
    tracks = {Direction(*this, name, "", "A_log", Reach::past), Direction(*this, name, "_b", "A_b_log", Reach::future)};
    out_proj = Linear<S>::without_bias(name + ".out_proj", inner_, width);
  }

  /// Projections truncated normal, those of the step sizes uniform within R^-1/2; a = −1 … −N, step sizes from 0.001 to
  /// 0.1, D 1: as Mamba.
  void initialise(const PlacedRandom& random) {
    in_proj.initialise(random.stream(1));
    out_proj.initialise(random.stream(2));
    for (std::size_t d = 0; d < 2; ++d) tracks[d].initialise(random.stream(3 + d), rank_, state_);
  }

  /// The scan has one form.
  void set_form(const form::Any&) {}

  Index width() const { return out_proj.out(); }
  Index inner() const { return inner_; }
  Index state() const { return state_; }
  Index rank() const { return rank_; }
  Index selected() const { return rank_ + 2 * state_; }

  /// Bytes of `workspace` in forward.
  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    return scan(0).workspace_size(batch, executor);
  }

  /// x += mixer(z); z [N,C] may be x.
  void forward(const View<S, 2>& z, const View<S, 2>& x, const Buffers& buffers, const TokenBatch& batch,
               Workspace& workspace, const Executor& executor) const {
    project(z, buffers.projected, batch, executor);
    for (std::size_t d = 0; d < 2; ++d) {
      run(d, buffers.projected, buffers.track, buffers.sum, batch, workspace, executor);
    }
    detail::for_each_block(batch.tokens(), kRowBlock / 8, executor, [&](Index first, Index n) {
      for (Index t = first; t < first + n; ++t) {
        multiply_by_silu(buffers.projected.at(t, inner_), buffers.sum.at(t), inner_, S(0.5));
      }
    });
    out_proj.forward(buffers.sum, x, executor, x);
  }

  /// out = mixer(z), keeping on the tape what backward needs (beside z).
  void forward_train(const View<const S, 2>& z, const View<S, 2>& out, const Tape& tape, const Scratch& scratch,
                     const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    project(z, tape.projected, batch, executor);
    for (std::size_t d = 0; d < 2; ++d) {
      run(d, tape.projected, tape.tracks[d], tape.sum, batch, workspace, executor);
    }
    detail::for_each_block(batch.tokens(), kRowBlock / 8, executor, [&](Index first, Index n) {
      for (Index t = first; t < first + n; ++t) {
        std::copy_n(tape.sum.at(t), inner_, scratch.gated.at(t));
        multiply_by_silu(tape.projected.at(t, inner_), scratch.gated.at(t), inner_, S(0.5));
      }
    });
    out_proj.forward(scratch.gated, out, executor);
  }

  /// dz [N,C] (overwritten) from dout; the weights' gradients are added.
  void backward(const View<const S, 2>& dout, const View<const S, 2>& z, const Tape& tape, const Scratch& scratch,
                const View<S, 2>& dz, const TokenBatch& batch, Workspace& workspace, const Executor& executor) {
    out_proj.backward_input(dout, scratch.dsum, executor);
    detail::for_each_block(batch.tokens(), kRowBlock / 8, executor, [&](Index first, Index n) {
      for (Index t = first; t < first + n; ++t) {
        std::copy_n(tape.sum.at(t), inner_, scratch.gated.at(t));
        gated_backward(tape.projected.at(t, inner_), scratch.gated.at(t), scratch.dsum.at(t),
                       scratch.dprojected.at(t, inner_), inner_, S(0.5));
      }
    });
    out_proj.backward_weights(dout, scratch.gated, executor);
    for (std::size_t d = 0; d < 2; ++d) run_backward(d, tape, scratch, batch, workspace, executor);
    Sequences(batch).clear_padding(scratch.dprojected, 0, inner_, executor);
    in_proj.backward_weights(scratch.dprojected, z, executor);
    in_proj.backward_input(scratch.dprojected, dz, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    in_proj.for_each_parameter(f);
    for (Direction& direction : tracks) direction.for_each_parameter(f);
    out_proj.for_each_parameter(f);
  }

  /// The parameters of one direction.
  struct Direction {
    DepthwiseConv<S> conv1d;
    Linear<S> x_proj, dt_proj;
    Parameter<S> a_log, skip;  ///< [I,N], [I]

    Direction() = default;
    Direction(const VimMixer& mixer, const std::string& name, const char* suffix, const char* rates, Reach reach)
        : conv1d(name + ".conv1d" + suffix, mixer.inner(), 4, reach),
          x_proj(Linear<S>::without_bias(name + ".x_proj" + suffix, mixer.inner(), mixer.selected())),
          dt_proj(name + ".dt_proj" + suffix, mixer.rank(), mixer.inner()),
          a_log(Parameter<S>::without_grad(name + "." + rates, {mixer.inner(), mixer.state()}, false)),
          skip(Parameter<S>::without_grad(name + ".D" + suffix, {mixer.inner()}, false)) {
      x_proj.weight.matrix = dt_proj.weight.matrix = false;  // decays need every bit
    }

    void initialise(const PlacedRandom& random, Index rank, Index state) {
      conv1d.initialise(random.stream(1));
      x_proj.initialise(random.stream(2));
      uniform(dt_proj.weight, 1 / std::sqrt(static_cast<double>(rank)), random.stream(3));
      initialise_steps(dt_proj.bias, random.stream(4));
      for (Index i = 0; i < a_log.size(); ++i) {
        a_log.value(i) = static_cast<S>(std::log(static_cast<double>(i % state + 1)));
      }
      skip.value.fill(S(1));
    }

    template <class F>
    void for_each_parameter(F&& f) {
      conv1d.for_each_parameter(f);
      x_proj.for_each_parameter(f);
      dt_proj.for_each_parameter(f);
      f(a_log);
      f(skip);
    }
  };

  Linear<S> in_proj;
  std::array<Direction, 2> tracks;
  Linear<S> out_proj;

 private:
  using Row = Eigen::Map<Eigen::Array<S, -1, 1>>;

  SelectiveScan<S> scan(std::size_t d) const { return {inner_, state_, d == 1}; }

  ScanInputs<S> inputs(std::size_t d, const VimTrack<S>& track) const {
    return {track.mixed,
            track.delta,
            columns(track.selected, rank_, state_),
            columns(track.selected, rank_ + state_, state_),
            track.rates,
            tracks[d].skip.value.data()};
  }

  void project(const View<const S, 2>& z, const View<S, 2>& projected, const TokenBatch& batch,
               const Executor& executor) const {
    in_proj.forward(z, projected, executor);
    Sequences(batch).clear_padding(projected, 0, inner_, executor);
  }

  /// One direction, from x and z to the sum of both.
  void run(std::size_t d, const View<S, 2>& projected, const VimTrack<S>& track, const View<S, 2>& sum,
           const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    const Direction& of = tracks[d];
    of.conv1d.forward(columns(projected, 0, inner_), track.mixed, batch, executor);
    of.x_proj.forward(track.mixed, track.selected, executor);
    of.dt_proj.forward(columns(track.selected, 0, rank_), track.delta, executor);
    detail::for_each_block(batch.tokens(), kRowBlock / 8, executor,
                           [&](Index first, Index n) { softplus(track.delta.at(first), n * inner_); });
    Sequences(batch).clear_padding(track.delta, 0, inner_, executor);
    for (Index i = 0; i < inner_ * state_; ++i) track.rates[i] = -std::exp(of.a_log.value(i));
    scan(d).forward(inputs(d, track), sum, d == 1, batch, workspace, executor);
  }

  /// Adds to the direction's gradients and, in the second, to those of x in dprojected.
  void run_backward(std::size_t d, const Tape& tape, const Scratch& scratch, const TokenBatch& batch,
                    Workspace& workspace, const Executor& executor) {
    Direction& of = tracks[d];
    const VimTrack<S>& track = tape.tracks[d];
    const View<S, 2> dsteps = columns(scratch.dselected, 0, rank_);
    scan(d).backward(inputs(d, track), scratch.dsum,
                     {scratch.dmixed, scratch.ddelta, columns(scratch.dselected, rank_, state_),
                      columns(scratch.dselected, rank_ + state_, state_), scratch.drates, of.skip.grad.data()},
                     batch, workspace, executor);
    Row(of.a_log.grad.data(), inner_ * state_) +=
        Row(scratch.drates, inner_ * state_) * Row(track.rates, inner_ * state_);
    detail::for_each_block(batch.tokens(), kRowBlock / 8, executor, [&](Index first, Index n) {
      // d softplus = 1 − e^−Δ: 0 where padding has made Δ 0.
      Row(scratch.ddelta.at(first), n * inner_) *= -(-Row(track.delta.at(first), n * inner_)).expm1();
    });
    of.dt_proj.backward_weights(scratch.ddelta, columns(track.selected, 0, rank_), executor);
    of.dt_proj.backward_input(scratch.ddelta, dsteps, executor);
    of.x_proj.backward_weights(scratch.dselected, track.mixed, executor);
    of.x_proj.backward_input(scratch.dselected, scratch.dmixed, executor, true);
    of.conv1d.backward(scratch.dmixed, columns(tape.projected, 0, inner_), columns(scratch.dprojected, 0, inner_),
                       d == 1, batch, executor);
  }

  Index inner_ = 0, state_ = 0, rank_ = 0;
};

}  // namespace lion::nn
