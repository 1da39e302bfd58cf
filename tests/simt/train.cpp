// Training in kernels: the backward pass of each layer and of whole models, and steps of AdamW, against the CPU's.

#include <functional>

#include "lion/nn/cuda/scatter.hpp"
#include "lion/train/clip.hpp"
#include "lion/train/cross_entropy.hpp"
#include "lion/train/cuda/vision.hpp"
#include "lion/train/distillation.hpp"
#include "lion/train/soft_cross_entropy.hpp"
#include "simt/layers.hpp"
#include "simt/small_model.hpp"
#include "simt/training.hpp"
#include "support/require_error.hpp"

namespace {

using namespace lion;
using namespace lion::test;

constexpr const char* kMasks[] = {"linear", "decay", "selective", "softmax"};

/// A layer on the CPU and the same in training on the device.
template <class T, class Host, class Layer>
class Pair {
 public:
  template <class Make>
  Pair(Random& random, Host host_, Make&& make) : host(std::move(host_)) {
    const auto parameters = draw<T>(random, host);
    host.for_each_parameter([&](nn::Parameter<float>& p) {
      p.make_grad();
      for (Index i = 0; i < p.size(); ++i) p.grad(i) = 1;  // gradients are added
      all_.push_back(&p);
    });
    layer = memory.upload(parameters, make);
    float* gradients = weights().gradients;
    for (Index i = 0; i < weights().count; ++i) gradients[i] = 1;
  }

  const cuda::TrainedWeights<T>& weights() const { return memory.weights(); }
  const std::vector<nn::Parameter<float>*>& parameters() const { return all_; }

  /// Of the gradients that the device has added against those of the CPU.
  void check_gradients(double limit) {
    std::vector<std::vector<double>> wanted;
    for (const nn::Parameter<float>* p : all_) wanted.push_back(values_of(p->grad));
    memory.download_gradients(all_);
    for (std::size_t i = 0; i < all_.size(); ++i) {
      INFO(all_[i]->name);
      CHECK(relative_error(values_of(all_[i]->grad), wanted[i]) <= limit);
    }
  }

  Host host;
  cuda::TrainedMemory<T, HeapMemory> memory;
  Layer layer;

 private:
  std::vector<nn::Parameter<float>*> all_;
};

template <class T>
std::vector<float> scratch_of(Index n) {
  return std::vector<float>(static_cast<std::size_t>(n), std::numeric_limits<float>::quiet_NaN());
}

template <class T>
void check_rows_backward(Random& random, Index tokens, Index width) {
  const Queue queue{{static_cast<unsigned>(tokens)}};
  const Executor executor;
  {
    Pair<T, nn::LayerNorm<float>, cuda::LayerNorm<T>> norm(
        random, nn::LayerNorm<float>("norm", width),
        [](cuda::TrainedImage<T>& image) { return cuda::LayerNorm<T>(image, "norm"); });
    Matrix<T> x(random, tokens, width, random.pick<Index>({0, 3, 8})), dy(random, tokens, width, 8), y(tokens, width);
    Matrix<T> dx(random, tokens, width, random.pick<Index>({0, 8})), alone(tokens, width);
    Tensor<float, 2> host_y({tokens, width}), host_statistics({tokens, 2}), only({tokens, width});
    std::vector<float> statistics = scratch_of<T>(2 * tokens),
                       host_scratch(static_cast<std::size_t>(4 * tokens * width)),
                       sums = scratch_of<T>(cuda::LayerNorm<T>::backward_scratch(tokens, width));
    norm.host.forward(x.exact(), host_y, executor, host_statistics);
    norm.layer.forward(queue, x.seen(), y.view(), statistics.data());
    norm.host.backward(dy.exact(), x.exact(), host_statistics, only, host_scratch.data(), executor, false);
    norm.layer.backward(queue, norm.weights(), dy.seen(), x.seen(), statistics.data(), alone.view(), sums.data(),
                        false);
    // Of one entry it is 0, but for the rounding that 1/√ε enlarges.
    CHECK((width == 1 ? std::abs(static_cast<double>(alone.view()(0, 0))) : alone.error(only)) <=
          (width == 1 ? 1e-3 : 2 * layer_limit<T>()));
    norm.host.backward(dy.exact(), x.exact(), host_statistics, dx.exact(), host_scratch.data(), executor);
    norm.layer.backward(queue, norm.weights(), dy.seen(), x.seen(), statistics.data(), dx.view(), sums.data());
    CHECK(dx.error(dx.exact()) <= (width == 1 ? 1e-2 : 2 * layer_limit<T>()));
    norm.check_gradients(1e-5);
  }
  {
    const Index out = 1 + random.below(90);
    Pair<T, nn::Linear<float>, cuda::Linear<T>> linear(
        random, nn::Linear<float>("linear", width, out),
        [&](cuda::TrainedImage<T>& image) { return cuda::Linear<T>(image, "linear", width); });
    Matrix<T> x(random, tokens, width, 1), dy(random, tokens, out, 3), dx(tokens, width, 5);
    Tensor<float, 2> wanted({tokens, width});
    std::vector<float> sums = scratch_of<T>(linear.layer.backward_scratch(tokens));
    linear.host.backward_input(dy.exact(), wanted, executor);
    linear.host.backward_weights(dy.exact(), x.exact(), executor);
    linear.layer.backward_input(queue, dy.seen(), dx.view());
    linear.layer.backward_weights(queue, linear.weights(), dy.seen(), x.seen(), sums.data());
    CHECK(dx.error(wanted) <= layer_limit<T>());
    linear.check_gradients(1e-5);
  }
  {
    const Index hidden = 3 * width;
    Pair<T, nn::Mlp<float>, cuda::Mlp<T>> mlp(
        random, nn::Mlp<float>("mlp", width, hidden),
        [&](cuda::TrainedImage<T>& image) { return cuda::Mlp<T>(image, "mlp.fc1", "mlp.fc2", width); });
    Matrix<T> x(random, tokens, width), residual(random, tokens, width), dy(random, tokens, width), y(tokens, width);
    Matrix<T> pre(tokens, hidden), activated(tokens, hidden), dhidden(tokens, hidden), dx(tokens, width);
    Tensor<float, 2> host_y({tokens, width}), host_dx({tokens, width}), host_pre({tokens, hidden}), a({tokens, hidden}),
        d({tokens, hidden});
    std::vector<float> sums = scratch_of<T>(mlp.layer.backward_scratch(tokens));
    mlp.host.forward_train(x.exact(), host_y, host_pre, a, 0, nn::PlacedRandom(0, 0), executor);
    mlp.host.backward(dy.exact(), x.exact(), host_pre, a, d, host_dx, 0, nn::PlacedRandom(0, 0), executor);
    nn::add<float>(host_y, residual.exact(), host_y, executor);
    mlp.layer.forward_train(queue, x.seen(), residual.seen(), y.view(), pre.view(), activated.view());
    mlp.layer.backward(queue, mlp.weights(), dy.seen(), x.seen(), pre.seen(), activated.view(), dhidden.view(),
                       dx.view(), sums.data());
    CHECK(y.error(host_y) <= layer_limit<T>());
    CHECK(dx.error(host_dx) <= 2 * layer_limit<T>());
    mlp.check_gradients(2 * layer_limit<T>() + 1e-5);
  }
  {  // products of depth 0 are 0
    Matrix<T> y(tokens, width), added(random, tokens, width);
    cuda::plain_product(
        queue, cuda::Product<T>{View<const T, 2>(nullptr, {tokens, 0}), View<const T, 2>(nullptr, {width, 0}), nullptr,
                                y.view(), added.seen()});
    CHECK(y.error(added.exact()) == 0);
  }
  for (const bool add : {false, true}) {  // rows to rows: some to the same, none to others
    const Index rows = 2 * tokens + 1;
    std::vector<Index> numbers;
    for (Index r = 0; r < rows; ++r) numbers.push_back(random.below(tokens) / 2);
    Matrix<T> x(random, rows, width, 3), to(random, tokens, width, 5);
    if (!add) to.exact().fill(0);
    for (Index r = 0; r < rows; ++r) {
      for (Index c = 0; c < width; ++c) to.exact()(numbers[static_cast<std::size_t>(r)], c) += x.exact()(r, c);
    }
    cuda::scatter_rows<T, T>(queue, x.seen(), cuda::RowNumbers{numbers.data()}, to.view(), add);
    CHECK(to.error(to.exact()) <= layer_limit<T>());
  }
  {
    Matrix<T> dy(random, 2, width), dx(2 * tokens, width);
    Tensor<float, 2> wanted({2 * tokens, width});
    for (Index t = 0; t < 2 * tokens; ++t) {
      for (Index c = 0; c < width; ++c) wanted(t, c) = dy.exact()(t / tokens, c) / static_cast<float>(tokens);
    }
    cuda::mean_backward<T>(queue, dy.seen(), dx.view());
    CHECK(dx.error(wanted) <= layer_limit<T>());
  }
}

/// Feature maps, and decays up to their weights and inputs.
template <class T, class M>
void check_attention_backward(Random& random, Index samples, Index length, Index heads, Index head, Index orders) {
  const Queue queue{{static_cast<unsigned>(length)}};
  const Executor executor;
  const Index tokens = samples * length, width = heads * head;
  nn::DecayOptions options{{"a"}, random.below(2), random.pick({0.0, 0.25})};
  if (orders == 2) options.names.push_back("b");
  Pair<T, nn::Decays<float, M>, cuda::Decays<T, M>> decays(
      random, nn::Decays<float, M>(options, width, heads),
      [&](cuda::TrainedImage<T>& image) { return cuda::Decays<T, M>(image, options, heads); });
  const Index size = decays.host.orders() * decays.host.size(tokens);
  REQUIRE(decays.layer.orders() * decays.layer.size(tokens) == size);
  std::vector<float> wanted = scratch_of<T>(size), got = wanted, dwanted = wanted, dgot = wanted;
  for (std::size_t i = 0; i < dgot.size(); ++i) dwanted[i] = dgot[i] = static_cast<float>(random.uniform(-1, 1));
  Matrix<T> z(random, tokens, width, random.pick<Index>({0, 8})), dz(random, tokens, width);
  std::vector<float> sums = scratch_of<T>(decays.layer.backward_scratch(tokens, width));
  decays.host.forward(z.exact(), samples, wanted.data(), executor);
  decays.layer.forward(queue, z.seen(), length, got.data());
  const auto wide = [](const std::vector<float>& x) { return std::vector<double>(x.begin(), x.end()); };
  CHECK(relative_error(wide(got), wide(wanted)) <= 2e-6);
  decays.host.backward(z.exact(), wanted.data(), dwanted.data(), dz.exact(), executor);
  decays.layer.backward(queue, decays.weights(), z.seen(), got.data(), dgot.data(), dz.view(), sums.data());
  CHECK(dz.error(dz.exact()) <= layer_limit<T>());
  decays.check_gradients(1e-5);

  using Feature = nn::VisionFeature<M>;
  Matrix<T> qkv(random, tokens, 3 * width, 0, 6), mapped(tokens, 2 * width), dqkv(random, tokens, 3 * width);
  cuda::features<Feature, T>(queue, qkv.seen(), mapped.view(), heads);
  cuda::features_backward<Feature, T>(queue, qkv.seen(), dqkv.view(), heads);
  Tensor<float, 2> host_mapped({tokens, 2 * width});
  for (Index t = 0; t < tokens; ++t) {
    for (Index c = 0; c < 2 * width; c += head) {
      Feature::forward(&qkv.exact()(t, c), &host_mapped(t, c), head);
      Feature::backward(&qkv.exact()(t, c), &dqkv.exact()(t, c), &dqkv.exact()(t, c), head);
    }
  }
  CHECK(mapped.error(host_mapped) <= layer_limit<T>());
  CHECK(dqkv.error(dqkv.exact()) <= layer_limit<T>());
}

template <class T>
void check_layers_backward(std::uint64_t seed) {
  Random random(seed);
  for (const auto& [tokens, width] : {std::pair<Index, Index>{1, 1}, {1, 24}, {9, 7}, {70, 40}, {3, 264}, {200, 5}}) {
    INFO("tokens " << tokens << ", width " << width);
    check_rows_backward<T>(random, tokens, width);
  }
  for (const auto& [heads, head] : {std::pair<Index, Index>{1, 1}, {3, 8}, {2, 7}, {2, 64}, {1, 33}, {5, 128}}) {
    INFO("heads " << heads << " of width " << head);
    check_attention_backward<T, mask::Linear>(random, 2, 5, heads, head, 1);
    check_attention_backward<T, mask::Decay>(random, 1, 9, heads, head, 2);
    check_attention_backward<T, mask::Selective>(random, 2, 1 + random.below(50), heads, head, 1 + random.below(2));
  }
}

/// Steps along random gradients of weights that decay and of others, `norm` being that of the gradients; then products
/// read what the weights are rounded to.
template <class T>
void check_steps(const train::AdamWOptions& options, double max_norm, double norm) {
  INFO("max_norm " << max_norm << ", norm " << norm << ", peak " << options.peak_learning_rate);
  Random random(4);
  Pair<T, nn::Linear<float>, cuda::Linear<T>> linear(
      random, nn::Linear<float>("linear", 37, 19),
      [](cuda::TrainedImage<T>& image) { return cuda::Linear<T>(image, "linear", 37); });
  nn::Linear<float> downloaded("linear", 37, 19);
  std::vector<nn::Parameter<float>*> got;
  downloaded.for_each_parameter([&](nn::Parameter<float>& p) { got.push_back(&p); });
  const cuda::TrainedWeights<T>& weights = linear.weights();
  cuda::AdamWIn<T, HeapMemory> optimiser(linear.memory, options, max_norm);
  train::AdamW<float> wanted(linear.parameters(), options);
  Tensor<double, 1> rate({1});
  for (int step = 1; step <= 3; ++step) {
    for (nn::Parameter<float>* p : linear.parameters()) {
      for (Index i = 0; i < p->size(); ++i) p->grad(i) = static_cast<float>(random.uniform(-1, 1));
    }
    const double drawn = train::grad_norm<float>(linear.parameters());
    std::fill_n(weights.gradients, weights.count, 0.0f);  // between parameters too
    for (std::size_t i = 0; i < linear.parameters().size(); ++i) {
      nn::Parameter<float>& p = *linear.parameters()[i];
      for (Index j = 0; j < p.size(); ++j) p.grad(j) *= static_cast<float>(norm / drawn);
      std::copy_n(p.grad.data(), p.size(), weights.gradients + linear.memory.places()[i].begin);
    }
    if (max_norm > 0) (void)train::clip_grad_norm<float>(linear.parameters(), max_norm);
    rate(0) = 1e-2 * step;
    wanted.step(rate(0));
    optimiser.step(weights, rate.data(), Queue{{static_cast<unsigned>(step)}});
    CHECK(optimiser.progress().norm == Approx(max_norm > 0 ? norm : 0).epsilon(1e-5));
    linear.memory.download_values(got);
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO(got[i]->name << " after step " << step);
      CHECK(relative_error(values_of(got[i]->value), values_of(linear.parameters()[i]->value)) <= 1e-6);
    }
    Index wrong = 0;
    for (Index i = 0; i < weights.count; ++i) {
      const T rounded = static_cast<T>(weights.values[i]);
      wrong += !(static_cast<float>(weights.rounded[i]) == static_cast<float>(rounded) && weights.gradients[i] == 0);
    }
    CHECK(wrong == 0);
  }
}

// ---------------------------------------------------------------------------------------------------- whole models

/// Images, labels and shares of classes.
struct Examples {
  Tensor<float, 4> images;
  std::vector<Index> labels, teacher_labels;
  Tensor<float, 2> targets;

  Examples(Random& random, const model::VisionConfig& config, Index count)
      : images({count, config.in_chans, config.image_size, config.image_size}), targets({count, config.num_classes}) {
    for (Index i = 0; i < images.size(); ++i) images.data()[i] = static_cast<float>(random.uniform(-2, 2));
    for (Index b = 0; b < count; ++b) {
      labels.push_back(random.below(config.num_classes));
      teacher_labels.push_back(random.below(config.num_classes));
      targets(b, random.below(config.num_classes)) = 0.75f;
      targets(b, random.below(config.num_classes)) += 0.5f;
    }
  }
};

enum class Of { labels, targets };

/// The CPU's loss, its gradient added to the weights' own.
double learn(model::Vision<float>& host, const Examples& examples, Of of, double smoothing, Index rows = 0) {
  const Index count = examples.images.extent(0), classes = host.config().num_classes;
  Tensor<float, 3> logits({host.config().classifiers(), count, classes}), dlogits(logits.shape());
  host.forward_train(examples.images, logits.view());
  const View<const float, 2> first(logits.data(), {count, classes});
  const View<float, 2> dfirst(dlogits.data(), {count, classes});
  double loss = 0;
  if (host.config().distilled && of == Of::labels) {
    loss = train::hard_distillation<float>(logits, examples.labels, examples.teacher_labels, dlogits.view(), smoothing,
                                           {}, rows);
  } else if (host.config().distilled) {
    loss = train::hard_distillation<float>(logits, examples.targets, examples.teacher_labels, dlogits.view(), {}, rows);
  } else if (of == Of::labels) {
    loss = train::cross_entropy<float>(first, examples.labels, dfirst, smoothing, {}, rows);
  } else {
    loss = train::soft_cross_entropy<float>(first, examples.targets, dfirst, {}, rows);
  }
  host.backward(View<const float, 3>(dlogits.view()));
  return loss;
}

template <class T>
class Device {
 public:
  using Training = cuda::VisionTrainingIn<T, HeapMemory>;

  Device(const model::Vision<float>& host, const cuda::VisionTrainingOptions& options) : training(host, options) {}

  /// The same in kernels.
  double learn(const Examples& examples, Of of, unsigned seed = 0, Index rows = 0) {
    return with(examples, of, [&](const auto& batch, double* loss, Workspace& workspace) {
      training.backward(batch, loss, workspace, Queue{{seed}}, rows);
    });
  }

  /// The loss, and a step.
  double step(const Examples& examples, Of of, double learning_rate) {
    Tensor<double, 1> rate({1});
    rate(0) = learning_rate;
    return with(examples, of, [&](const auto& batch, double* loss, Workspace& workspace) {
      training.step(batch, rate.data(), loss, workspace, Queue{});
    });
  }

  Training training;

 private:
  template <class F>
  double with(const Examples& examples, Of of, F&& run) {
    Tensor<T, 4> images(examples.images.shape());
    for (Index i = 0; i < images.size(); ++i) images.data()[i] = static_cast<T>(examples.images.data()[i]);
    cuda::VisionBatch<T> batch{images.view()};
    if (of == Of::labels) batch.labels = examples.labels;
    if (of == Of::targets) batch.targets = examples.targets.view();
    if (training.config().distilled) batch.teacher_labels = examples.teacher_labels;
    PoisonedScratch scratch(training.workspace_size(images.extent(0)));
    Workspace workspace = scratch.workspace();
    Tensor<double, 1> loss({1});  // of the heap, which a GPU sees
    loss(0) = std::numeric_limits<double>::quiet_NaN();
    run(batch, loss.data(), workspace);
    return loss(0);
  }
};

model::Vision<float> disturbed(const model::VisionConfig& config, Random& random) {
  return disturbed<model::Vision<float>>(config, random);
}

/// The gradient of every weight.
template <class T>
void check_gradients(const model::VisionConfig& config, Of of, Index count, double limit) {
  INFO(config.mask_type << ", " << config.order << ", form " << config.form << ", distilled " << config.distilled
                        << ", class token " << config.cls_tok << ", positions " << config.pos_emb);
  Random random(config.seed + 1);
  model::Vision<float> host = disturbed(config, random);
  Device<T> device(host, {.label_smoothing = 0.1});
  const Examples examples(random, config, count);
  const double wanted_loss = learn(host, examples, of, 0.1), loss = device.learn(examples, of);
  CHECK(loss == Approx(wanted_loss).epsilon(limit));
  const Values wanted = values_of(host, true);
  device.training.download_gradients(host);
  const Values once = values_of(host, true);
  check_each(host, once, wanted, limit);

  Device<T> shuffled(host, {.label_smoothing = 0.1});  // threads in another order: the same bits
  CHECK(shuffled.learn(examples, of, 5) == loss);
  shuffled.training.download_gradients(host);
  CHECK(values_of(host, true) == once);
}

}  // namespace

TEST_CASE("layers in kernels hand gradients back as those of the CPU do, emulated") {
  check_layers_backward<float>(1);
  check_layers_backward<bfloat16>(2);
}

TEST_CASE("the gradients of a vision model in kernels are the CPU's, emulated") {
  for (const char* mask : kMasks) {
    model::VisionConfig config = small_model(mask);
    check_gradients<float>(config, Of::labels, 3, 1e-5);
    config.order = "s_curve";
    config.form = "chunk";
    config.chunk_size = 4;
    config.distilled = true;
    check_gradients<float>(config, Of::labels, 1, 1e-5);
    check_gradients<float>(config, Of::targets, 2, 1e-5);
    config.distilled = config.pos_emb = config.cls_tok = false;
    config.form = "rnn";
    config.embed_dim = 48;
    check_gradients<float>(config, Of::targets, 2, 1e-5);
    config.form = "full";
    check_gradients<bfloat16>(config, Of::labels, 2, 5e-2);
  }
}

TEST_CASE("a step of AdamW in kernels is the CPU's, clipped or not, emulated") {
  for (const double peak : {0.0, 0.05}) {
    const train::AdamWOptions options{0.9, 0.98, 1e-6, 0.3, peak};
    check_steps<float>(options, 0, 3);
    check_steps<float>(options, 2, 3);
    check_steps<float>(options, 3.5, 3);
    check_steps<float>(options, std::numeric_limits<double>::infinity(), 3);
    check_steps<bfloat16>(options, 2, 3);
  }
}

TEST_CASE("a vision model trains in 16 bits, emulated") {
  const model::VisionConfig config = small_model("decay");
  Random random(12);
  model::Vision<float> host = disturbed(config, random);
  Device<bfloat16> device(host, {});
  train::AdamW<float> optimiser(host.parameters());
  const Examples examples(random, config, 3);
  double last = std::numeric_limits<double>::infinity();
  for (int step = 0; step < 3; ++step) {
    host.zero_grad();
    const double wanted = learn(host, examples, Of::labels, 0);
    optimiser.step(1e-3);
    const double loss = device.step(examples, Of::labels, 1e-3);
    CHECK(loss == Approx(wanted).epsilon(2e-2));
    CHECK(loss < 0.95 * last);  // products read the weights that were stepped
    last = loss;
  }
  CHECK(device.training.progress().steps == 3);

  (void)device.learn(examples, Of::labels);
  const auto norm = [&] {
    device.training.download_gradients(host);
    return train::grad_norm<float>(host.parameters());
  };
  CHECK(norm() > 0);
  device.training.zero_gradients(Queue{});
  CHECK(norm() == 0);
}

TEST_CASE("a vision model trains in kernels as it does on the CPU, emulated") {
  model::VisionConfig config = small_model("selective");
  config.order = "s_curve";
  const train::AdamWOptions adamw{0.9, 0.98, 1e-6, 0.05, 0};
  constexpr double kNorm = 1.5;  // less than the gradients have
  Random random(11);
  model::Vision<float> host = disturbed(config, random), on_device = disturbed(config, random);
  Device<float> device(host, {adamw, kNorm, 0.1});
  std::optional<Device<float>> resumed;
  train::AdamW<float> optimiser(host.parameters(), adamw);
  Tensor<double, 1> rate({1});
  for (int step = 0; step < 4; ++step) {
    rate(0) = 1e-3 * (step + 1);
    const Examples first(random, config, 2), second(random, config, 1);
    host.zero_grad();
    const double loss = learn(host, first, Of::labels, 0.1, 3) + learn(host, second, Of::labels, 0.1, 3);
    const double norm = train::clip_grad_norm<float>(host.parameters(), kNorm);
    REQUIRE(norm > kNorm);
    optimiser.step(rate(0));
    for (Device<float>* at : {&device, resumed ? &*resumed : nullptr}) {
      if (!at) continue;
      const double got = at->learn(first, Of::labels, 0, 3) + at->learn(second, Of::labels, 1, 3);
      at->training.update(rate.data(), Queue{});
      CHECK(got == Approx(loss).epsilon(1e-5));
      CHECK(at->training.progress().norm == Approx(norm).epsilon(1e-5));
      at->training.download(on_device);
      check_each(host, values_of(on_device, false), values_of(host, false), 1e-5);
    }
    if (resumed) {  // the same bits as if it had not stopped
      model::Vision<float> on_other(config);
      device.training.download(on_device);
      resumed->training.download(on_other);
      CHECK(values_of(on_other, false) == values_of(on_device, false));
    }
    if (step == 1) {  // goes on from a file
      by_checkpoint("simt_train.safetensors", on_device, adamw, device.training.state(),
                    [&](auto& loaded, auto& state) {
                      resumed.emplace(loaded, cuda::VisionTrainingOptions{adamw, kNorm, 0.1});
                      resumed->training.restore(state);
                    });
    }
  }
  const train::AdamWState<float> state = resumed->training.state();
  REQUIRE(state.steps == 4);
  for (std::size_t i = 0; i < state.first.size(); ++i) {
    INFO(host.parameters()[i]->name);
    CHECK(relative_error(values_of(state.first[i]), values_of(optimiser.state().first[i])) <= 1e-4);
    CHECK(relative_error(values_of(state.second[i]), values_of(optimiser.state().second[i])) <= 1e-4);
  }
}

TEST_CASE("training on the device says what it cannot take") {
  using Training = cuda::VisionTrainingIn<float, HeapMemory>;
  const auto refuses = [](auto change, const std::string& says) {
    model::VisionConfig config = small_model("decay");
    change(config);
    require_error<ArgumentError>([&] { Training{model::Vision<float>(config)}; }, says);
  };
  refuses([](auto& config) { config.dropout = 0.5; }, "vision: dropout is 0.5, expected 0 to train on a GPU");
  refuses([](auto& config) { config.drop_path = 0.5; }, "vision: drop_path is 0.5, expected 0 to train on a GPU");
  refuses([](auto& config) { config.kind = "vim"; }, "vision: kind is vim, expected vision to train on a GPU");

  const model::Vision<float> host(small_model("decay"));
  require_error<ArgumentError>([&] { Training(host, {.max_norm = -1}); },
                               "AdamW: max_norm is -1.000000, expected a value of at least 0");
  require_error<ArgumentError>([&] { Training(host, {.label_smoothing = 2}); },
                               "vision: label_smoothing is 2.000000, expected a value in [0, 1]");
  Training training(host);
  const std::vector<Index> labels(2);
  double number = 0;
  double* loss = &number;
  const double* rate = &number;
  const auto learn = [&](const Shape<4>& images, std::span<const Index> of, std::span<const Index> teacher = {},
                         Index rows = 0) {
    Workspace workspace;
    const cuda::VisionBatch<float> batch{View<const float, 4>(nullptr, images), of, {}, teacher};
    rows ? training.backward(batch, loss, workspace, Queue{}, rows)
         : training.step(batch, rate, loss, workspace, Queue{});
  };
  for (const Index rows : {0, 4}) {
    require_error<ArgumentError>(
        [&] {
          learn({0, 3, 12, 12}, {}, {}, rows);
        },
        "vision: images has 0 samples, expected at least 1 to train on");
  }
  require_error<ArgumentError>([&] { training.workspace_size(-1); },
                               "vision: samples is -1, expected at least 1 to train on");
  require_error<ArgumentError>(
      [&] {
        learn({2, 3, 16, 12}, labels);
      },
      "vision: images has shape [2,3,16,12], expected [*,3,12,12]");
  require_error<ArgumentError>([&] { learn({3, 3, 12, 12}, labels); }, "vision: labels has shape [2], expected [3]");
  require_error<ArgumentError>(
      [&] {
        learn({2, 3, 12, 12}, labels, labels);
      },
      "vision: teacher_labels has shape [2], expected [0]");
  require_error<ArgumentError>(
      [&] {
        learn({2, 3, 12, 12}, labels);
      },
      "vision: workspace has memory of its own, expected one over the device's memory");
  loss = nullptr;
  require_error<ArgumentError>(
      [&] {
        learn({2, 3, 12, 12}, labels);
      },
      "vision: loss is null, expected memory of the device");
  rate = nullptr;
  for (const auto& run : {std::function([&] {
                            learn({2, 3, 12, 12}, labels);
                          }),
                          std::function([&] { training.update(nullptr, Queue{}); })}) {
    require_error<ArgumentError>(run, "vision: learning_rate is null, expected memory of the device");
  }
  model::Vision<float> other(small_model("linear"));
  require_error<ArgumentError>([&] { training.download(other); },
                               "cuda: parameters are of another model, expected those of the one in training");
  train::AdamWState<float> state = training.state();
  state.first.pop_back();
  require_error<ArgumentError>([&] { training.restore(state); },
                               "AdamW: first has shape [33], expected [34] to match the parameters");
}
