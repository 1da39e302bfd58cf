#include <cmath>
#include <string>
#include <vector>

#include "lion/model/masked_language.hpp"
#include "lion/train/train.hpp"
#include "support/catch.hpp"

using lion::Index;
using lion::Tensor;
using namespace lion::train;

namespace {

constexpr Index kVocabulary = 23, kMask = 4;
constexpr SequenceFormat kFormat{.first = 2, .last = 3, .padding = 0};

lion::model::MaskedLanguageConfig config_of(const std::string& mask) {
  auto config = lion::model::MaskedLanguageConfig::base_size(mask);
  config.vocab_size = kVocabulary;
  config.hidden_size = 12;
  config.num_attention_heads = 3;
  config.num_hidden_layers = 2;
  config.intermediate_size = 20;
  config.max_position_embeddings = 32;
  config.seed = 4;
  return config;
}

TokenDocuments random_documents() {
  Random random(6);
  TokenDocuments documents;
  for (const Index n : {17, 5, 26, 9, 1, 30, 12}) {
    std::vector<Index> ids(static_cast<std::size_t>(n));
    for (Index& id : ids) id = 5 + random.below(kVocabulary - 5);
    documents.add(ids);
  }
  return documents;
}

using Model = lion::model::MaskedLanguage<double>;

/// Adds the gradient of a batch, whose step asks for `rows` tokens in all; returns its share of the loss.
double accumulate(Model& model, TextBatch batch, const Masking& masking, Index rows, Index step) {
  const LabelledTokens labelled = masking.mask(batch, step);
  if (labelled.rows.empty()) return 0;
  Tensor<double, 2> logits({static_cast<Index>(labelled.rows.size()), kVocabulary}), dlogits(logits.shape());
  model.forward_train(batch.inputs(), labelled.rows, logits.view());
  const double loss = cross_entropy<double>(logits.view(), labelled.labels, dlogits.view(), 0, {}, rows);
  model.backward(dlogits.view());
  return loss;
}

std::vector<double> gradients(Model& model) {
  std::vector<double> all;
  for (const auto* p : model.parameters()) all.insert(all.end(), p->grad.data(), p->grad.data() + p->size());
  return all;
}

}  // namespace

TEST_CASE("micro-batches, padded or packed, give the gradient of their step, to rounding") {
  const TokenDocuments documents = random_documents();
  const std::vector<Piece> pieces = cut_documents(documents, 30);
  const Masking masking({.vocab_size = kVocabulary, .mask_id = kMask, .special_ids = {0, 1, 2, 3}}, 9);
  constexpr Index kStep = 5;
  for (const std::string mask : {"selective", "decay", "linear", "softmax"}) {
    INFO(mask);
    Model model(config_of(mask));
    TextBatch whole = padded_batch(documents, pieces, kFormat);
    TextBatch counted = padded_batch(documents, pieces, kFormat);
    const auto rows = static_cast<Index>(masking.mask(counted, kStep).rows.size());
    REQUIRE(rows > 10);
    model.zero_grad();
    const double loss = accumulate(model, std::move(whole), masking, rows, kStep);
    const std::vector<double> expected = gradients(model);
    double largest = 0;
    for (const double g : expected) largest = std::fmax(largest, std::abs(g));
    REQUIRE(loss > 1);

    model.zero_grad();
    const std::span<const Piece> all(pieces);
    double sum = accumulate(model, packed_batch(documents, all.first(3), kFormat), masking, rows, kStep);
    sum += accumulate(model, padded_batch(documents, all.subspan(3, 3), kFormat), masking, rows, kStep);
    sum += accumulate(model, packed_batch(documents, all.subspan(6), kFormat), masking, rows, kStep);
    REQUIRE(sum == Approx(loss).epsilon(1e-12));
    const std::vector<double> parts = gradients(model);
    for (std::size_t i = 0; i < parts.size(); ++i) REQUIRE(std::abs(parts[i] - expected[i]) <= 1e-12 * largest);
  }
}

TEST_CASE("the text recipe teaches each mask a language in which all tokens of a document are alike") {
  TokenDocuments documents;
  Random random(2);
  for (int d = 0; d < 40; ++d) documents.add(std::vector<Index>(22, 5 + random.below(18)));
  const std::vector<Piece> pieces = cut_documents(documents, 22);
  const Masking masking({.vocab_size = kVocabulary, .mask_id = kMask, .special_ids = {0, 1, 2, 3}, .rate = 0.15}, 1);
  constexpr Index kSteps = 150;
  for (const std::string mask : {"selective", "decay", "linear", "softmax"}) {
    INFO(mask);
    auto config = config_of(mask);
    config.hidden_size = 24;
    lion::model::MaskedLanguage<float> model(config);
    const auto parameters = model.parameters();
    AdamW<float> optimiser(parameters, AdamWOptions::masked_language(1e-2));
    const Linear schedule(ScheduleOptions::masked_language(1e-2, kSteps));
    Batches batches(static_cast<Index>(pieces.size()), 8, 3);
    double first = 0, last = 0;
    for (Index t = 0; t < kSteps; ++t) {
      std::vector<Piece> some;
      for (const Index row : batches.rows(t)) some.push_back(pieces[static_cast<std::size_t>(row)]);
      TextBatch batch = packed_batch(documents, some, kFormat);
      const LabelledTokens labelled = masking.mask(batch, t);
      Tensor<float, 2> logits({static_cast<Index>(labelled.rows.size()), kVocabulary}), dlogits(logits.shape());
      model.zero_grad();
      model.forward_train(batch.inputs(), labelled.rows, logits.view());
      const double loss = cross_entropy<float>(logits.view(), labelled.labels, dlogits.view());
      model.backward(dlogits.view());
      clip_grad_norm<float>(parameters, 1);
      optimiser.step(schedule(t));
      if (t < 5) first += loss / 5;
      if (t >= kSteps - 5) last += loss / 5;
    }
    REQUIRE(first > 2.5);
    REQUIRE(last < 0.75 * first);
  }
}
