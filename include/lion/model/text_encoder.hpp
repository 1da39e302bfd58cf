#pragma once
/// Token ids to hidden states: embeddings and blocks, which every text model shares (math.md §7).

#include <algorithm>
#include <variant>

#include "lion/model/block_stack.hpp"
#include "lion/model/masked_language_config.hpp"
#include "lion/model/text_batch.hpp"
#include "lion/nn/hydra_text_block.hpp"
#include "lion/nn/layout.hpp"
#include "lion/nn/post_norm_block.hpp"
#include "lion/nn/text_embedding.hpp"

namespace lion::model {

/// Under the names of a Hugging Face BERT state dict, from `bert.embeddings` to `bert.encoder.layer.N`.
///
/// Inference goes over groups of sequences that make about 512 tokens (text_group), so that memory grows neither with
/// the batch nor with its packing.
template <Real S>
class TextEncoder {
 public:
  /// One alternative for each kind of block.
  using Stack = std::variant<BlockStack<S, nn::PostNormBlock<S>>, BlockStack<S, nn::HydraTextBlock<S>>>;

  explicit TextEncoder(const MaskedLanguageConfig& config)
      : embeddings("bert.embeddings", config.vocab_size, config.type_vocab_size, positions(config), config.hidden_size,
                   config.layer_norm_eps),
        stack_(make_stack(config)),
        width_(config.hidden_size),
        dropout_(config.hidden_dropout_prob) {
    set_form(parse_form(config.form, config.chunk_size));
  }

  void initialise(const nn::PlacedRandom& random) {
    embeddings.initialise(random.stream(0));
    std::visit([&](auto& stack) { stack.initialise(random.stream(1)); }, stack_);
  }

  void set_form(const form::Any& form) {
    std::visit([&](auto& stack) { stack.set_form(form); }, stack_);
  }

  Index width() const { return width_; }

  /// Throws ArgumentError, in the name of `operation`, for a batch or rows that the model cannot take.
  void check(const char* operation, const TextInputs& text, std::span<const Index> rows) const {
    check_text(operation, text, embeddings.word.shape[0], embeddings.token_type.shape[0],
               embeddings.position ? embeddings.position->shape[0] : 0);
    check_rows(operation, text, rows);
  }

  /// Takes of an arena what `forward` takes.
  void lay_out(const TextInputs& text, Arena& arena) const {
    std::visit([&](const auto& stack) { Layout<std::decay_t<decltype(stack)>>(stack, width_, text, arena); }, stack_);
  }

  /// Bytes of `workspace` in forward.
  std::size_t workspace_size(const TextInputs& text, const Executor& executor) const {
    std::vector<Index> cuts(static_cast<std::size_t>(text.sequences()) + 1);
    return std::visit([&](const auto& stack) { return workspace_size(stack, text, cuts.data(), executor); }, stack_);
  }

  /// hidden [R,C]: the last hidden states of the tokens asked for, by number. Takes of the arena what lay_out says.
  void forward(const TextInputs& text, std::span<const Index> rows, const View<S, 2>& hidden, Arena& arena,
               Workspace& workspace, const Executor& executor) const;

  /// The same for all sequences at once, with dropout as configured (drawn from `seed`), keeping what `backward` needs:
  /// text and rows are not looked at again.
  void forward_train(const TextInputs& text, std::span<const Index> rows, const View<S, 2>& hidden, std::uint64_t seed,
                     Workspace& workspace, const Executor& executor);

  /// Adds to every weight's gradient, given dhidden [R,C]. Once per forward_train.
  void backward(const View<const S, 2>& dhidden, Workspace& workspace, const Executor& executor);

  /// Bytes that training steps so far hold.
  std::size_t training_bytes() const { return tape_memory_.size(); }

  template <class F>
  void for_each_parameter(F&& f) {
    embeddings.for_each_parameter(f);
    std::visit([&](auto& stack) { stack.for_each_parameter(f); }, stack_);
  }

  nn::TextEmbedding<S> embeddings;

 private:
  static Index positions(const MaskedLanguageConfig& config) {
    return config.position_embeddings ? config.max_position_embeddings : 0;
  }

  static Stack make_stack(const MaskedLanguageConfig& config) {
    const auto stack_of = [&]<class Block>(auto&& make, std::vector<Block> blocks) {
      for (Index i = 0; i < config.num_hidden_layers; ++i) {
        blocks.push_back(make("bert.encoder.layer." + std::to_string(i)));
      }
      return BlockStack<S, Block>(std::move(blocks));
    };
    if (config.mask_type == "hydra") {
      return stack_of(
          [&](const std::string& name) {
            return nn::HydraTextBlock<S>(name, config.hidden_size, config.d_state, config.head_dim);
          },
          std::vector<nn::HydraTextBlock<S>>());
    }
    return stack_of(
        [&](const std::string& name) {
          return nn::PostNormBlock<S>(name, config.hidden_size, config.num_attention_heads, config.intermediate_size,
                                      config.mask_type, config.layer_norm_after, config.layer_norm_eps);
        },
        std::vector<nn::PostNormBlock<S>>());
  }

  static nn::TokenBatch batch_of(const TextInputs& text) {
    return {text.ids.extent(0), text.ids.extent(1), {}, text.key_mask, text.cu_seqlens};
  }

  /// f(group, the group as a batch of its own) for all of a text.
  template <class F>
  static void for_each_group(const TextInputs& text, Index* cuts, F&& f) {
    for (Index s = 0; s < text.sequences();) {
      const TextGroup group = text_group(text, s);
      f(group, text_of(text, group, cuts));
      s += group.sequences;
    }
  }

  template <class Blocks>
  static std::size_t workspace_size(const Blocks& stack, const TextInputs& text, Index* cuts,
                                    const Executor& executor) {
    std::size_t most = 0;
    for_each_group(text, cuts, [&](const TextGroup&, const TextInputs& part) {
      most = (std::max)(most, stack.front().workspace_size(batch_of(part), executor));
    });
    return most;
  }

  /// Memory of inference, enough for any group.
  template <class Blocks>
  struct Layout {
    Index* cuts;  ///< cu_seqlens of a group
    S* x;         ///< [N,C]
    typename Blocks::Buffers buffers;

    Layout(const Blocks& stack, Index width, const TextInputs& text, Arena& arena)
        : Layout(stack, width, largest_group(text), arena) {}

   private:
    Layout(const Blocks& stack, Index width, const TextGroup& most, Arena& arena)
        : cuts(arena.take<Index>(most.sequences + 1)),
          x(arena.take<S>(most.tokens * width)),
          buffers(stack.front(), {1, most.tokens}, arena) {}
  };

  /// What a training step keeps beside the tape of the blocks.
  struct Tape {
    View<Index, 2> ids, types;  ///< [B,L]
    View<bool, 2> key_mask;     ///< [B,L]
    std::span<Index> cuts, rows;
    nn::TokenBatch batch;
    View<S, 2> statistics;  ///< [N,2] of the embeddings' norm
    View<S, 2> x, dx;       ///< [N,C] after the last block, and the gradient that travels back
    S* norm = nullptr;      ///< LayerNorm::backward_scratch of the embeddings

    Tape() = default;
    Tape(Index width, const TextInputs& text, std::size_t count, Arena& arena) {
      const auto numbers = [&](std::size_t n) { return std::span(arena.take<Index>(static_cast<Index>(n)), n); };
      ids = View<Index, 2>(arena.take<Index>(text.tokens()), text.ids.shape());
      if (text.type_ids) types = View<Index, 2>(arena.take<Index>(text.tokens()), text.ids.shape());
      if (text.key_mask) key_mask = View<bool, 2>(arena.take<bool>(text.tokens()), text.ids.shape());
      cuts = numbers(text.cu_seqlens.size());
      rows = numbers(count);
      batch = {text.ids.extent(0), text.ids.extent(1), {}, key_mask, cuts};
      statistics = nn::take_matrix<S>(arena, text.tokens(), 2);
      x = nn::take_matrix<S>(arena, text.tokens(), width);
      dx = nn::take_matrix<S>(arena, text.tokens(), width);
    }

    void fill(const TextInputs& text, std::span<const Index> asked) const {
      for (Index b = 0; b < text.ids.extent(0); ++b) {
        for (Index t = 0; t < text.ids.extent(1); ++t) {
          ids(b, t) = text.ids(b, t);
          if (types) types(b, t) = text.type_ids(b, t);
          if (key_mask) key_mask(b, t) = text.key_mask(b, t);
        }
      }
      std::copy(text.cu_seqlens.begin(), text.cu_seqlens.end(), cuts.begin());
      std::copy(asked.begin(), asked.end(), rows.begin());
    }
  };

  Stack stack_;
  Index width_ = 0;
  double dropout_ = 0;

  Workspace tape_memory_;
  Tape tape_;
  nn::PlacedRandom random_{0, 0};
};

// Outside the class, and so not inline: with LION_EXTERN_KERNELS no file compiles them but one (cpu/kernels.hpp).

template <Real S>
void TextEncoder<S>::forward(const TextInputs& text, std::span<const Index> rows, const View<S, 2>& hidden,
                             Arena& arena, Workspace& workspace, const Executor& executor) const {
  const bool ascending = std::is_sorted(rows.begin(), rows.end());
  std::visit(
      [&](const auto& stack) {
        const Layout<std::decay_t<decltype(stack)>> layout(stack, width_, text, arena);
        workspace.reserve(workspace_size(stack, text, layout.cuts, executor));
        for_each_group(text, layout.cuts, [&](const TextGroup& group, const TextInputs& part) {
          const nn::TokenBatch batch = batch_of(part);
          const View<S, 2> x(layout.x, {group.tokens, width_});
          embeddings.forward({part.ids, part.type_ids}, batch, x, executor);
          stack.forward(x, layout.buffers, batch, workspace, executor);
          // Rows ascend as a rule: then those of a group lie together.
          const auto first = ascending ? std::lower_bound(rows.begin(), rows.end(), group.token) : rows.begin();
          for (auto row = first; row != rows.end(); ++row) {
            const Index token = *row - group.token;
            if (ascending && token >= group.tokens) break;
            if (token < 0 || token >= group.tokens) continue;
            std::copy_n(x.at(token), width_, hidden.at(static_cast<Index>(row - rows.begin())));
          }
        });
      },
      stack_);
}

template <Real S>
void TextEncoder<S>::forward_train(const TextInputs& text, std::span<const Index> rows, const View<S, 2>& hidden,
                                   std::uint64_t seed, Workspace& workspace, const Executor& executor) {
  random_ = nn::PlacedRandom(seed, 0);
  std::visit(
      [&](auto& stack) {
        const auto lay_out = [&](Arena arena) {
          tape_ = Tape(width_, text, rows.size(), arena);
          tape_.norm = arena.take<S>(embeddings.norm.backward_scratch(text.tokens()));
          stack.record(tape_.batch, arena);
          return arena.used();
        };
        tape_memory_.reserve(lay_out(Arena()) + kAlignment);
        lay_out(tape_memory_.arena());
        tape_.fill(text, rows);
        embeddings.forward({tape_.ids, tape_.types}, tape_.batch, stack.first(), executor, tape_.statistics);
        nn::dropout(stack.first(), dropout_, random_.stream(0), executor);
        stack.forward_train(tape_.x, tape_.batch, dropout_, random_.stream(1), workspace, executor);
      },
      stack_);
  nn::gather_rows<S>(tape_.x, tape_.rows, hidden, executor);
}

template <Real S>
void TextEncoder<S>::backward(const View<const S, 2>& dhidden, Workspace& workspace, const Executor& executor) {
  const View<S, 2>& dx = tape_.dx;
  nn::clear(dx, executor);
  nn::scatter_add_rows<S>(
      dhidden, [&](Index r) { return tape_.rows[static_cast<std::size_t>(r)]; }, dx, executor);
  std::visit([&](auto& stack) { stack.backward(dx, tape_.batch, dropout_, random_.stream(1), workspace, executor); },
             stack_);
  nn::dropout(dx, dropout_, random_.stream(0), executor);
  embeddings.backward({tape_.ids, tape_.types}, tape_.batch, dx, tape_.statistics, tape_.x, tape_.norm, executor);
}

#ifdef LION_EXTERN_KERNELS
extern template class TextEncoder<float>;
extern template class TextEncoder<double>;
#endif

}  // namespace lion::model
