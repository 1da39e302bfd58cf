#pragma once
/// Mamba-1's recurrence (Gu and Dao, arXiv 2312.00752): a state of N entries per channel, each with a decay of its own.

#include "lion/core/workspace.hpp"
#include "lion/nn/sequences.hpp"

namespace lion::nn {

/// What the scan reads, over R = B·L tokens; rows of matrices may lie apart.
template <Real S>
struct ScanInputs {
  View<const S, 2> u, delta;  ///< [R,I]
  View<const S, 2> b, c;      ///< [R,N]
  const S* rates;             ///< [I,N] a < 0
  const S* skip;              ///< [I] d
};

/// What its backward pass writes.
template <Real S>
struct ScanGradients {
  View<S, 2> du, ddelta;  ///< [R,I], overwritten
  View<S, 2> db, dc;      ///< [R,N], overwritten
  S* drates;              ///< [I,N], overwritten
  S* dskip;               ///< [I], added to
};

/// For each channel i and sequence, along the tokens in their order or from the end:
///
///     s_t = e^(Δ_t a_i) s_{t−1} + Δ_t u_t b_t          y_t = c_t·s_t + d_i u_t          s [N]
///
/// No product of matrices does this, since every entry decays by itself: 16 channels go side by side in vectors. The
/// forward pass holds their state, 16·N values per thread. Backward computes states again: it keeps that of every 16th
/// token and, of the 16 tokens it works on, all of them, L·N + 592·N values per thread for sequences of L tokens, and
/// sums of db and dc per 256 channels and of drates per group of sequences (8 at most).
template <Real S>
class SelectiveScan {
 public:
  Index channels = 0, state = 0;  ///< I, N
  bool reversed = false;

  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    const Index tasks = Sequences(batch).count() * detail::blocks(channels, kGroup);
    return sizeof(S) * static_cast<std::size_t>(executor.lanes(tasks) * 2 * state * kLanes) + kAlignment;
  }

  std::size_t backward_workspace_size(const TokenBatch& batch, const Executor& executor) const {
    Arena counting;
    Partials(*this, batch, executor, counting);
    return counting.used() + kAlignment;
  }

  /// y [R,I], or y += if `add`.
  void forward(const ScanInputs<S>& in, const View<S, 2>& y, bool add, const TokenBatch& batch, Workspace& workspace,
               const Executor& executor) const {
    const Sequences sequences(batch);
    const Index groups = detail::blocks(channels, kGroup), tasks = sequences.count() * groups;
    workspace.reserve(workspace_size(batch, executor));
    S* scratch = workspace.arena().template take<S>(0);
    executor.for_each_task(tasks, [&](Index task, Index lane) {
      const Lanes rates(scratch + lane * 2 * state * kLanes), s(rates.data + state * kLanes);
      for_each_channel_block(task % groups, [&](Index i, Index m) {
        load_rates(in, i, m, rates);
        s.clear(state);
        const Values skip = load(in.skip + i, m);
        along(sequences[task / groups], [&](Index t) {
          const Values u = load(in.u.at(t, i), m), delta = load(in.delta.at(t, i), m), entering = delta * u;
          const S *b = in.b.at(t), *c = in.c.at(t);
          Values out = skip * u;
          for (Index n = 0; n < state; ++n) {
            s[n] = (delta * rates[n]).exp() * s[n] + entering * b[n];
            out += s[n] * c[n];
          }
          if (add) out += load(y.at(t, i), m);
          store(out, m, y.at(t, i));
        });
      });
    });
  }

  /// All gradients from dy [R,I]. Tasks are groups of sequences and of channels, whose sums meet in a fixed order.
  void backward(const ScanInputs<S>& in, const View<const S, 2>& dy, const ScanGradients<S>& out,
                const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    const Sequences sequences(batch);
    workspace.reserve(backward_workspace_size(batch, executor));
    Arena arena = workspace.arena();
    const Partials partials(*this, batch, executor, arena);
    executor.for_each_task(partials.parts * partials.groups, [&](Index task, Index lane) {
      const Index part = task / partials.groups, group = task % partials.groups;
      const Sweep sweep{*this, in, dy, out, partials.lanes + lane * partials.lane_size};
      for_each_channel_block(group, [&](Index i, Index m) {
        sweep.begin(i, m);
        for (Index q = part; q < sequences.count(); q += partials.parts) {
          sweep.run(sequences[q], i, m, partials.shared + group * partials.tokens * 2 * state, i % kGroup == 0);
        }
        sweep.end(m, partials.rates + (part * channels + i) * state, partials.skip + part * channels + i);
      });
    });
    add_up(partials, out, executor);
  }

 private:
  static constexpr Index kLanes = 16, kGroup = 256, kParts = 8;
  static constexpr Index kTokens = 16;  // between states that backward keeps
  using Values = Eigen::Array<S, kLanes, 1>;

  /// Rows of kLanes values in scratch.
  struct Lanes {
    S* data;
    explicit Lanes(S* at) : data(at) {}
    Eigen::Map<Values, Eigen::Aligned64> operator[](Index row) const {
      return Eigen::Map<Values, Eigen::Aligned64>(data + row * kLanes);
    }
    void clear(Index rows) const { std::fill_n(data, rows * kLanes, S(0)); }
  };

  /// Scratch of backward: sums of the tasks, and what lanes need.
  struct Partials {
    Index parts, groups, tokens, lane_size;
    S* shared;        // [groups, R, 2N] db, dc
    S *rates, *skip;  // [parts, I, N], [parts, I]
    S* lanes;         // [lanes, lane_size]

    Partials(const SelectiveScan& scan, const TokenBatch& batch, const Executor& executor, Arena& arena)
        : parts((std::min)(Sequences(batch).count(), kParts)),
          groups(detail::blocks(scan.channels, kGroup)),
          tokens(batch.tokens()),
          lane_size((1 + (Sweep::kRows + detail::blocks(Sequences(batch).longest(), kTokens)) * scan.state) * kLanes),
          shared(arena.take<S>(groups * tokens * 2 * scan.state)),
          rates(arena.take<S>(parts * scan.channels * scan.state)),
          skip(arena.take<S>(parts * scan.channels)),
          lanes(arena.take<S>(executor.lanes(parts * groups) * lane_size)) {}
  };

  static Values load(const S* from, Index m) {
    if (m == kLanes) return Eigen::Map<const Values>(from);
    Values values = Values::Zero();
    std::copy_n(from, m, values.data());
    return values;
  }
  static void store(const Values& values, Index m, S* to) {
    if (m == kLanes) {
      Eigen::Map<Values>{to} = values;
    } else {
      std::copy_n(values.data(), m, to);
    }
  }

  void load_rates(const ScanInputs<S>& in, Index i, Index m, Lanes to) const {
    to.clear(state);
    for (Index lane = 0; lane < m; ++lane) {
      for (Index n = 0; n < state; ++n) to.data[n * kLanes + lane] = in.rates[(i + lane) * state + n];
    }
  }

  template <class F>
  void for_each_channel_block(Index group, F&& f) const {
    const Index end = (std::min)((group + 1) * kGroup, channels);
    for (Index i = group * kGroup; i < end; i += kLanes) f(i, (std::min)(kLanes, end - i));
  }

  /// f(t) for the tokens of a sequence in the scan's order.
  template <class F>
  void along(Stretch sequence, F&& f) const {
    for (Index k = 0; k < sequence.size; ++k) f(token(sequence, k));
  }
  Index token(Stretch sequence, Index k) const { return reversed ? sequence.end() - 1 - k : sequence.first + k; }

  /// The backward pass of one block of channels. In the lane's scratch: dskip, then rows of [N,kLanes].
  struct Sweep {
    const SelectiveScan& scan;
    const ScanInputs<S>& in;
    const View<const S, 2>& dy;
    const ScanGradients<S>& out;
    S* scratch;

    static constexpr Index kRows = 5 + 2 * kTokens;  // beside the states kept

    Lanes rows(Index first) const { return Lanes(scratch + (1 + first * scan.state) * kLanes); }
    Lanes rates() const { return rows(0); }
    Lanes drates() const { return rows(1); }
    Lanes now() const { return rows(2); }
    Lanes adjoint() const { return rows(3); }
    Lanes decays(Index k) const { return rows(4 + k); }           // of token k of 16
    Lanes after(Index k) const { return rows(5 + kTokens + k); }  // the state behind it, from -1 on
    Lanes kept(Index block) const { return rows(kRows + block); }

    void copy(Lanes from, Lanes to) const { std::copy_n(from.data, scan.state * kLanes, to.data); }

    void begin(Index i, Index m) const {
      scan.load_rates(in, i, m, rates());
      drates().clear(scan.state);
      Lanes(scratch).clear(1);
    }

    /// One sequence. db, dc go to `shared` [R,2N], which `first` says to overwrite.
    void run(Stretch sequence, Index i, Index m, S* shared, bool first) const {
      const Index blocks = detail::blocks(sequence.size, kTokens);
      now().clear(scan.state);
      for (Index block = 0; block < blocks; ++block) {
        copy(now(), kept(block));
        if (block + 1 == blocks) break;
        for (Index k = 0; k < kTokens; ++k) {
          step(scan.token(sequence, block * kTokens + k), i, m, now(), now(), [](Index, const Values&) {});
        }
      }
      adjoint().clear(scan.state);
      for (Index block = blocks; block-- > 0;) {
        const Index before = block * kTokens, count = (std::min)(kTokens, sequence.size - before);
        copy(kept(block), after(-1));
        for (Index k = 0; k < count; ++k) {
          const Lanes to = decays(k);
          step(scan.token(sequence, before + k), i, m, after(k - 1), after(k),
               [&](Index n, const Values& decay) { to[n] = decay; });
        }
        for (Index k = count; k-- > 0;) step_back(k, scan.token(sequence, before + k), i, m, shared, first);
      }
    }

    /// The state behind token t from the one before it.
    template <class Keep>
    void step(Index t, Index i, Index m, Lanes before, Lanes behind, Keep&& keep) const {
      const Values delta = load(in.delta.at(t, i), m), entering = delta * load(in.u.at(t, i), m);
      const Lanes a = rates();
      const S* b = in.b.at(t);
      for (Index n = 0; n < scan.state; ++n) {
        const Values decay = (delta * a[n]).exp();
        behind[n] = decay * before[n] + entering * b[n];
        keep(n, decay);
      }
    }

    void step_back(Index k, Index t, Index i, Index m, S* shared, bool first) const {
      const Values u = load(in.u.at(t, i), m), delta = load(in.delta.at(t, i), m), upstream = load(dy.at(t, i), m);
      const Values entering = delta * u;
      const S *b = in.b.at(t), *c = in.c.at(t);
      const Lanes a = rates(), da = drates(), carried = adjoint(), decay = decays(k), s = after(k), old = after(k - 1);
      S *db = shared + t * 2 * scan.state, *dc = db + scan.state;
      Values of_input = Values::Zero(), of_step = Values::Zero();
      for (Index n = 0; n < scan.state; ++n) {
        const Values g = carried[n] + upstream * c[n], left = g * decay[n], through = left * old[n];
        const S to_b = (g * entering).sum(), to_c = (s[n] * upstream).sum();
        db[n] = first ? to_b : db[n] + to_b;
        dc[n] = first ? to_c : dc[n] + to_c;
        of_input += g * b[n];
        of_step += through * a[n];
        da[n] += through * delta;
        carried[n] = left;
      }
      store(of_input * delta + upstream * load(in.skip + i, m), m, out.du.at(t, i));
      store(of_step + of_input * u, m, out.ddelta.at(t, i));
      Lanes(scratch)[0] += upstream * u;
    }

    /// The sums over the task's sequences: [m,N] and [m].
    void end(Index m, S* of_rates, S* of_skip) const {
      const Lanes da = drates();
      for (Index lane = 0; lane < m; ++lane) {
        for (Index n = 0; n < scan.state; ++n) of_rates[lane * scan.state + n] = da.data[n * kLanes + lane];
        of_skip[lane] = scratch[lane];
      }
    }
  };

  void add_up(const Partials& partials, const ScanGradients<S>& out, const Executor& executor) const {
    using Row = Eigen::Map<Eigen::Array<S, -1, 1>>;
    detail::for_each_block(partials.tokens, kRowBlock, executor, [&](Index first, Index n) {
      for (Index t = first; t < first + n; ++t) {
        Row db(out.db.at(t), state), dc(out.dc.at(t), state);
        for (Index group = 0; group < partials.groups; ++group) {
          S* sums = partials.shared + (group * partials.tokens + t) * 2 * state;
          if (group == 0) {
            db = Row(sums, state);
            dc = Row(sums + state, state);
          } else {
            db += Row(sums, state);
            dc += Row(sums + state, state);
          }
        }
      }
    });
    detail::for_each_block(channels, kRowBlock, executor, [&](Index first, Index n) {
      Row drates(out.drates + first * state, n * state), dskip(out.dskip + first, n);
      drates.setZero();
      for (Index part = 0; part < partials.parts; ++part) {
        drates += Row(partials.rates + (part * channels + first) * state, n * state);
        dskip += Row(partials.skip + part * channels + first, n);
      }
    });
  }
};

}  // namespace lion::nn
