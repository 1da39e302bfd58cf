// Training of the masked language model in kernels, against the model on the CPU and the golden files.

#include <optional>

#include "lion/train/clip.hpp"
#include "lion/train/cuda/masked_language.hpp"
#include "model/masked_language.hpp"
#include "simt/queue.hpp"
#include "simt/training.hpp"
#include "support/attention_run.hpp"
#include "support/require_error.hpp"

namespace {

using namespace lion;
using namespace lion::test;

using Host = model::MaskedLanguage<float>;

/// Texts with the tokens that are predicted.
struct Examples {
  model::TextInputs text;
  std::vector<Index> rows, labels;
};

template <class T>
class Device {
 public:
  explicit Device(const Host& host, const cuda::MaskedLanguageTrainingOptions& options = {})
      : training(host, options) {}

  /// The loss, its gradient added to the weights' own.
  double learn(const Examples& examples, unsigned seed = 0, Index labelled = 0) {
    PoisonedScratch scratch(training.workspace_size(examples.text, static_cast<Index>(examples.rows.size())));
    Workspace workspace = scratch.workspace();
    Tensor<double, 1> loss({1});  // of the heap, which a GPU sees
    loss(0) = std::numeric_limits<double>::quiet_NaN();
    training.backward({examples.text, examples.rows, examples.labels}, loss.data(), workspace, Queue{{seed}}, labelled);
    return loss(0);
  }

  cuda::MaskedLanguageTrainingIn<T, HeapMemory> training;
};

/// The same on the CPU.
double learn(Host& host, const Examples& examples, Index labelled = 0) {
  auto logits = mlm::poisoned<float>(static_cast<Index>(examples.rows.size()), host.config().vocab_size);
  Tensor<float, 2> dlogits(logits.shape());
  host.forward_train(examples.text, examples.rows, logits);
  const double loss = train::cross_entropy<float>(logits, examples.labels, dlogits, 0, {}, labelled);
  host.backward(dlogits);
  return loss;
}

/// Loss and the gradient of every weight, which `host` has afterwards; a second time with threads in another order.
template <class T>
void check_gradients(Host& host, const form::Any& form, const Examples& examples, double limit) {
  host.set_form(form);
  host.zero_grad();
  const double wanted_loss = learn(host, examples);
  const Values wanted = values_of(host, true);
  Device<T> device(host), shuffled(host);
  device.training.set_form(form);
  shuffled.training.set_form(form);
  const double loss = device.learn(examples);
  CHECK(loss == Approx(wanted_loss).epsilon(limit));
  CHECK(shuffled.learn(examples, 5) == loss);
  shuffled.training.download_gradients(host);
  const Values again = values_of(host, true);
  device.training.download_gradients(host);
  CHECK(values_of(host, true) == again);
  check_each(host, again, wanted, limit);
}

/// Labels of tokens, in segments; rows in no order, one of them twice.
Examples examples_of(const mlm::Texts& texts, bool packed, Tensor<Index, 2>& types) {
  Examples examples{packed ? texts.as_packed() : texts.as_padded(), packed ? texts.packed_rows : texts.padded_rows, {}};
  types = Tensor<Index, 2>(examples.text.ids.shape());
  for (Index t = 0; t < types.size(); ++t) types.data()[t] = t / 3 % 2;
  examples.text.type_ids = types;
  std::swap(examples.rows.front(), examples.rows.back());
  examples.rows.push_back(examples.rows.front());
  for (std::size_t r = 0; r < examples.rows.size(); ++r) examples.labels.push_back(static_cast<Index>(7 * r % 300));
  return examples;
}

}  // namespace

TEST_CASE("the gradients of a masked language model in kernels are the golden files' and the CPU's, emulated") {
  for (const char* mask : mlm::kMasks) {
    const auto expected = mlm::open(mask, "expected");
    const mlm::Case texts(expected);
    const mlm::Case::Packed packed = texts.packed();
    Host host = mlm::load<float>(mask);
    for (const bool pack : {false, true}) {
      INFO(mask << ", packed " << pack);
      const Examples examples{pack ? packed.text() : texts.text(), pack ? packed.predicted : texts.predicted,
                              texts.targets};
      check_gradients<float>(host, parse_form(pack ? "chunk" : "full", 4), examples, 1e-5);
      for (const nn::Parameter<float>* p : host.parameters()) {
        INFO(p->name);
        CHECK(mlm::relative_error(p->grad.data(), expected.read_values<double>("grad." + p->name)) <= 1e-4);
      }
    }
  }
}

TEST_CASE("the gradients of a masked language model in kernels are the CPU's, emulated") {
  const mlm::Texts texts({17, 1, 70, 5});
  for (const char* mask : mlm::kMasks) {
    for (const bool packed : {false, true}) {
      INFO(mask << ", packed " << packed);
      model::MaskedLanguageConfig config = mlm::small_model(mask);
      config.hidden_size = packed ? 48 : 21;  // heads of 7: no row is of whole packs
      config.intermediate_size = packed ? 40 : 19;
      config.max_position_embeddings = 80;
      Random random(3);
      Host host = disturbed<Host>(config, random);
      Tensor<Index, 2> types;
      const Examples examples = examples_of(texts, packed, types);
      if (packed) {
        check_gradients<bfloat16>(host, form::Auto{}, examples, 6e-2);
      } else {
        check_gradients<float>(host, form::Rnn{}, examples, 1e-5);
      }
    }
  }
}

TEST_CASE("a masked language model trains in kernels as it does on the CPU, emulated") {
  model::MaskedLanguageConfig config = mlm::small_model("selective");
  config.hidden_size = 24;
  config.intermediate_size = 40;
  const train::AdamWOptions adamw{0.9, 0.98, 1e-6, 0.05, 0};
  constexpr double kNorm = 0.5;  // less than the gradients have
  Random random(11);
  Host host = disturbed<Host>(config, random), on_device = disturbed<Host>(config, random);
  Device<float> device(host, {adamw, kNorm});
  std::optional<Device<float>> resumed;
  train::AdamW<float> optimiser(host.parameters(), adamw);
  const mlm::Texts texts({9, 30});
  Tensor<Index, 2> types;
  Examples first = examples_of(texts, false, types), second{first.text, {}, {}};
  const auto labelled = static_cast<Index>(first.rows.size()) + 2;
  Examples more = first;  // of which all but two rows have no label
  std::fill(more.labels.begin() + 2, more.labels.end(), -1);
  Examples two = first;
  two.rows.resize(2);
  two.labels.resize(2);
  host.zero_grad();
  CHECK(device.learn(more) == Approx(learn(host, two)).epsilon(1e-5));  // the mean over those that have
  device.training.zero_gradients(Queue{});
  Tensor<double, 1> rate({1});
  for (int step = 0; step < 4; ++step) {
    rate(0) = 1e-3 * (step + 1);
    host.zero_grad();
    const double loss = learn(host, first, labelled) + learn(host, two, labelled);
    const double norm = train::clip_grad_norm<float>(host.parameters(), kNorm);
    REQUIRE(norm > kNorm);
    optimiser.step(rate(0));
    for (Device<float>* at : {&device, resumed ? &*resumed : nullptr}) {
      if (!at) continue;
      const double got = at->learn(first, 0, labelled) + at->learn(more, 1, labelled) + at->learn(second, 0, labelled);
      at->training.update(rate.data(), Queue{});
      CHECK(got == Approx(loss).epsilon(1e-5));
      CHECK(at->training.progress().norm == Approx(norm).epsilon(1e-5));
      at->training.download(on_device);
      check_each(host, values_of(on_device, false), values_of(host, false), 1e-5);
    }
    if (resumed) {  // the same bits as if it had not stopped
      Host on_other(config);
      device.training.download(on_device);
      resumed->training.download(on_other);
      CHECK(values_of(on_other, false) == values_of(on_device, false));
    }
    if (step == 1) {  // goes on from a file
      by_checkpoint("simt_train_text.safetensors", on_device, adamw, device.training.state(),
                    [&](auto& loaded, auto& state) {
                      resumed.emplace(loaded, cuda::MaskedLanguageTrainingOptions{adamw, kNorm});
                      resumed->training.restore(state);
                    });
    }
  }
}

TEST_CASE("training of texts on the device says what it cannot take") {
  using Training = cuda::MaskedLanguageTrainingIn<float, HeapMemory>;
  model::MaskedLanguageConfig config = mlm::small_model("decay");
  config.hidden_dropout_prob = 0.5;
  require_error<ArgumentError>([&] { Training{Host(config)}; },
                               "masked_language: hidden_dropout_prob is 0.5, expected 0 to train on a GPU");
  require_error<ArgumentError>([&] { Training{Host(mlm::small_model("hydra"))}; },
                               "masked_language: mask_type is hydra, expected softmax, linear, decay or selective on a "
                               "GPU");
  Training training(Host(mlm::small_model("decay")));
  const std::vector<Index> numbers(2);
  double number = 0;
  double* loss = &number;
  const auto learn = [&](const Shape<2>& ids, std::span<const Index> rows, std::span<const Index> labels,
                         Index labelled = 0) {
    Workspace workspace;
    const cuda::MaskedLanguageBatch batch{{View<const Index, 2>(numbers.data(), ids)}, rows, labels};
    training.backward(batch, loss, workspace, Queue{}, labelled);
  };
  const std::span<const Index> two = numbers, none;
  require_error<ArgumentError>(
      [&] {
        learn({2, 0}, two, two);
      },
      "masked_language: ids has shape [2,0], expected at least one token to train on");
  require_error<ArgumentError>(
      [&] {
        learn({2, 3}, two, none);
      },
      "masked_language: labels has shape [0], expected [2] to match rows");
  require_error<ArgumentError>(
      [&] {
        learn({2, 3}, none, none);
      },
      "masked_language: labelled is 0 for 0 rows, expected at least 1, or 0 to count the labels");
  require_error<ArgumentError>(
      [&] {
        learn({2, 3}, two, two, -1);
      },
      "masked_language: labelled is -1 for 2 rows, expected at least 1, or 0 to count the labels");
  require_error<ArgumentError>(
      [&] {
        learn({2, 3}, two, two);
      },
      "masked_language: workspace has memory of its own, expected one over the device's memory");
  require_error<ArgumentError>(
      [&] {
        training.workspace_size({View<const Index, 2>(numbers.data(), {2, 3})}, -1);
      },
      "masked_language: rows is -1, expected at least 0");
  loss = nullptr;
  require_error<ArgumentError>(
      [&] {
        learn({2, 3}, two, two);
      },
      "masked_language: loss is null, expected memory of the device");
}
