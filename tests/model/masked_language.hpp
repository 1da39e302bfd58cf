#pragma once
/// The goldens of masked language models: logits, loss and every gradient, for one scalar type; and packed batches.

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "lion/io/model.hpp"
#include "lion/model/masked_language.hpp"
#include "lion/train/cross_entropy.hpp"
#include "support/catch.hpp"

namespace mlm {

using lion::Index;
using lion::Tensor;
using lion::View;
using lion::io::SafetensorsFile;
using lion::model::MaskedLanguage;
using lion::model::TextInputs;

inline const char* const kMasks[] = {"linear", "decay", "selective", "softmax"};            ///< of golden files
inline const char* const kModels[] = {"linear", "decay", "selective", "softmax", "hydra"};  ///< all that there are

inline SafetensorsFile open(const std::string& mask, const std::string& part) {
  return SafetensorsFile::open(std::filesystem::path(LION_GOLDEN_DIR) / ("mlm-" + mask + "." + part + ".safetensors"));
}

template <class S>
MaskedLanguage<S> load(const std::string& mask) {
  const auto weights = open(mask, "weights");
  auto metadata = weights.metadata();
  const auto* positions = weights.find("bert.embeddings.position_embeddings.weight");
  if (positions) metadata["max_position_embeddings"] = std::to_string(positions->shape[0]);
  MaskedLanguage<S> model(lion::model::masked_language_config_from(metadata), lion::model::Initial::zero);
  lion::io::load_weights(weights, model);
  return model;
}

/// ‖got − expected‖ / ‖expected‖, or ‖got − expected‖ where nothing is expected but rounding (softmax does not notice
/// the bias of its keys).
template <class S>
double relative_error(const S* got, const std::vector<double>& expected) {
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    apart += std::pow(static_cast<double>(got[i]) - expected[i], 2);
    size += std::pow(expected[i], 2);
  }
  return std::sqrt(size) > 1e-12 ? std::sqrt(apart / size) : std::sqrt(apart);
}

template <class S>
std::vector<double> doubles(const Tensor<S, 2>& x) {
  return {x.data(), x.data() + x.size()};
}

/// The texts of a golden file, and where they are padded and predicted.
struct Case {
  Tensor<Index, 2> ids, labels;
  Tensor<bool, 2> key_mask;
  std::vector<Index> seen, predicted, targets;  ///< numbers of tokens that are no padding; that have a label; these

  explicit Case(const SafetensorsFile& file)
      : ids(file.read_tensor<Index, 2>("input_ids")),
        labels(file.read_tensor<Index, 2>("labels")),
        key_mask(file.read_tensor<bool, 2>("attention_mask")) {
    for (Index t = 0; t < ids.size(); ++t) {
      if (key_mask.data()[t]) seen.push_back(t);
      if (labels.data()[t] == -100) continue;
      predicted.push_back(t);
      targets.push_back(labels.data()[t]);
    }
  }
  TextInputs text() const { return {ids, key_mask}; }

  /// The same without padding, end to end.
  struct Packed {
    Tensor<Index, 2> ids;
    std::vector<Index> cuts{0}, predicted{};
    TextInputs text() const { return {ids, {}, cuts}; }
  };
  Packed packed() const {
    Packed all{Tensor<Index, 2>({1, static_cast<Index>(seen.size())})};
    for (std::size_t i = 0; i < seen.size(); ++i) {
      all.ids.data()[i] = ids.data()[seen[i]];
      if (i > 0 && seen[i] / ids.extent(1) != seen[i - 1] / ids.extent(1)) all.cuts.push_back(static_cast<Index>(i));
      if (labels.data()[seen[i]] != -100) all.predicted.push_back(static_cast<Index>(i));
    }
    all.cuts.push_back(static_cast<Index>(seen.size()));
    return all;
  }
};

template <class S>
Tensor<S, 2> poisoned(Index rows, Index cols) {
  Tensor<S, 2> x({rows, cols});
  x.fill(std::numeric_limits<S>::quiet_NaN());
  return x;
}

/// A training step on the mean cross-entropy, which is returned.
template <class S>
double step(MaskedLanguage<S>& model, const TextInputs& text, const std::vector<Index>& rows,
            const std::vector<Index>& targets, lion::Executor executor) {
  auto logits = poisoned<S>(static_cast<Index>(rows.size()), model.config().vocab_size);
  Tensor<S, 2> dlogits(logits.shape());
  model.forward_train(text, rows, logits, executor);
  const double loss = lion::train::cross_entropy<S>(logits, targets, dlogits);
  model.zero_grad();
  model.backward(dlogits, executor);
  return loss;
}

inline lion::model::MaskedLanguageConfig small_model(const std::string& mask) {
  lion::model::MaskedLanguageConfig config = lion::model::MaskedLanguageConfig::base_size(mask);
  config.vocab_size = 300;
  config.hidden_size = 48;
  config.num_attention_heads = 3;
  config.num_hidden_layers = 2;
  config.intermediate_size = 100;
  config.d_state = 6;
  config.head_dim = 32;
  return config;
}

/// Sequences of these lengths, end to end and padded.
struct Texts {
  Tensor<Index, 2> packed, padded;
  Tensor<bool, 2> key_mask;
  std::vector<Index> cuts{0}, packed_rows, padded_rows;  ///< every third token that is no padding

  explicit Texts(const std::vector<Index>& lengths) {
    Index longest = 0;
    for (const Index length : lengths) {
      cuts.push_back(cuts.back() + length);
      longest = std::max(longest, length);
    }
    const auto count = static_cast<Index>(lengths.size());
    packed = Tensor<Index, 2>({1, cuts.back()});
    padded = Tensor<Index, 2>({count, longest});
    key_mask = Tensor<bool, 2>({count, longest});
    for (Index s = 0, t = 0; s < count; ++s) {
      for (Index i = 0; i < lengths[static_cast<std::size_t>(s)]; ++i, ++t) {
        packed(0, t) = padded(s, i) = (t * t * 7 + 3 * t) % 300;
        key_mask(s, i) = true;
        if (t % 3 != 0) continue;
        packed_rows.push_back(t);
        padded_rows.push_back(s * longest + i);
      }
    }
  }
  TextInputs as_packed() const { return {packed, {}, cuts}; }
  TextInputs as_padded() const { return {padded, key_mask}; }
};

/// Checks one case in one form: inference, loss and every gradient, padded and packed.
template <class S>
void check(const std::string& mask, const char* form, Index chunk, double tolerance) {
  INFO(mask << " in form " << form << " " << chunk);
  const auto expected = open(mask, "expected");
  auto model = load<S>(mask);
  model.set_form(lion::parse_form(form, chunk));
  const Case texts(expected);
  const Case::Packed packed = texts.packed();
  REQUIRE(packed.cuts.size() == 4);
  lion::ThreadPool pool(2);

  const std::vector<double> logits = expected.template read_values<double>("logits");
  auto got = poisoned<S>(static_cast<Index>(texts.seen.size()), model.config().vocab_size);
  model.forward(texts.text(), texts.seen, got, pool);
  REQUIRE(relative_error(got.data(), logits) <= tolerance);
  std::vector<Index> every(texts.seen.size());
  for (std::size_t i = 0; i < every.size(); ++i) every[i] = static_cast<Index>(i);
  got = poisoned<S>(got.extent(0), got.extent(1));
  model.forward(packed.text(), every, got, pool);
  REQUIRE(relative_error(got.data(), logits) <= tolerance);

  const double loss = expected.template read_values<double>("loss")[0];
  for (const bool pack : {false, true}) {
    INFO("packed " << pack);
    const double of_step = pack ? step(model, packed.text(), packed.predicted, texts.targets, pool)
                                : step(model, texts.text(), texts.predicted, texts.targets, pool);
    REQUIRE(of_step == Approx(loss).epsilon(tolerance));
    for (const auto* p : model.parameters()) {
      INFO(p->name);
      REQUIRE(relative_error(p->grad.data(), expected.template read_values<double>("grad." + p->name)) <= tolerance);
    }
  }
}

template <class S>
void check_all(double tolerance) {
  for (const char* mask : kMasks) {
    check<S>(mask, "auto", 64, tolerance);
    check<S>(mask, "full", 64, tolerance);
    check<S>(mask, "rnn", 64, tolerance);
    check<S>(mask, "chunk", 4, tolerance);
  }
}

}  // namespace mlm
