#pragma once
/// The vision goldens: logits and every gradient, for one scalar type.

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "lion/io/safetensors.hpp"
#include "lion/model/vision.hpp"
#include "support/catch.hpp"

namespace golden {

using lion::Index;

template <class S>
double relative_error(const S* a, const std::vector<double>& b) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference) / std::sqrt(norm);
}

inline lion::io::SafetensorsFile open(const std::string& name, const std::string& part) {
  return lion::io::SafetensorsFile::open(std::filesystem::path(LION_GOLDEN_DIR) / (name + "." + part + ".safetensors"));
}

template <class S>
lion::model::Vision<S> load(const std::string& name) {
  const auto weights = open(name, "weights");
  lion::model::Vision<S> model(lion::model::vision_config_from(weights.metadata()));
  REQUIRE(weights.tensors().size() == model.parameters().size());
  for (lion::nn::Parameter<S>* p : model.parameters()) {
    INFO(p->name);
    REQUIRE(weights.at(p->name).shape == p->shape);
    const std::vector<S> values = weights.template read_values<S>(p->name);
    std::copy(values.begin(), values.end(), p->value.data());
  }
  return model;
}

/// Mean cross-entropy of the first classifier's logits.
template <class S>
S mean_cross_entropy(const lion::Tensor<S, 3>& logits, const std::vector<Index>& labels) {
  S total = 0;
  for (Index b = 0; b < logits.extent(1); ++b) {
    S sum = 0;
    for (Index c = 0; c < logits.extent(2); ++c) sum += std::exp(logits(0, b, c));
    total += std::log(sum) - logits(0, b, labels[static_cast<std::size_t>(b)]);
  }
  return total / static_cast<S>(logits.extent(1));
}

/// Gradient of the mean cross-entropy over the batch and the classifiers with regard to logits [R,B,K].
template <class S>
lion::Tensor<S, 3> dlogits(const lion::Tensor<S, 3>& logits, const std::vector<std::vector<Index>>& labels) {
  const Index heads = logits.extent(0), batch = logits.extent(1), classes = logits.extent(2);
  lion::Tensor<S, 3> gradient(logits.shape());
  for (Index r = 0; r < heads; ++r) {
    for (Index b = 0; b < batch; ++b) {
      S sum = 0;
      for (Index c = 0; c < classes; ++c) sum += std::exp(logits(r, b, c));
      for (Index c = 0; c < classes; ++c) {
        const S hit = c == labels[static_cast<std::size_t>(r)][static_cast<std::size_t>(b)] ? S(1) : S(0);
        gradient(r, b, c) = (std::exp(logits(r, b, c)) / sum - hit) / static_cast<S>(heads * batch);
      }
    }
  }
  return gradient;
}

/// Cases whose files are here, and the two state spaces.
inline std::vector<std::string> cases() {
  const std::string prefix = "vision-", suffix = ".weights.safetensors";
  std::vector<std::string> found{"hydra", "vim"};
  for (const auto& entry : std::filesystem::directory_iterator(LION_GOLDEN_DIR)) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with(prefix) || !file.ends_with(suffix)) continue;
    found.push_back(file.substr(0, file.size() - suffix.size()));
  }
  return found;
}

/// Checks one case in one form: inference, training forward, every gradient.
template <class S>
void check(const std::string& name, const char* form, Index chunk, double tolerance) {
  INFO(name << " in form " << form << " " << chunk);
  const auto expected = open(name, "expected");
  auto model = load<S>(name);
  model.set_form(lion::parse_form(form, chunk));
  const auto images = expected.template read_tensor<S, 4>("image");
  std::vector<std::vector<Index>> labels{expected.template read_values<Index>("label")};
  if (model.config().distilled) labels.push_back(expected.template read_values<Index>("teacher_label"));
  const std::vector<double> logits = expected.template read_values<double>("logits");

  lion::Tensor<S, 2> got({images.extent(0), model.config().num_classes});
  got.fill(std::numeric_limits<S>::quiet_NaN());
  lion::ThreadPool pool(2);
  model.forward(images, got, pool);
  REQUIRE(relative_error(got.data(), logits) <= tolerance);

  got.fill(std::numeric_limits<S>::quiet_NaN());
  model.forward_train(images, got, pool);
  REQUIRE(relative_error(got.data(), logits) <= tolerance);

  lion::Tensor<S, 3> each({model.config().classifiers(), images.extent(0), model.config().num_classes});
  model.forward_train(images, each, pool);
  if (expected.contains("loss")) {
    const double loss = expected.template read_values<double>("loss")[0];
    REQUIRE(static_cast<double>(mean_cross_entropy(each, labels[0])) == Approx(loss).epsilon(tolerance));
  }
  model.zero_grad();
  model.backward(dlogits(each, labels), pool);
  for (const lion::nn::Parameter<S>* p : model.parameters()) {
    INFO(p->name);
    REQUIRE(relative_error(p->grad.data(), expected.template read_values<double>("grad." + p->name)) <= tolerance);
  }
}

template <class S>
void check_all(double tolerance) {
  const std::vector<std::string> names = cases();
  REQUIRE(names.size() > 2);
  for (const std::string& name : names) {
    check<S>(name, "auto", 64, tolerance);
    check<S>(name, "full", 64, tolerance);
    check<S>(name, "rnn", 64, tolerance);
    check<S>(name, "chunk", 64, tolerance);
    check<S>(name, "chunk", 4, tolerance);
  }
}

}  // namespace golden
