// A distilled student on the digits: from a teacher's file of logits as from the teacher itself.

#include <filesystem>
#include <string>
#include <vector>

#include "lion/io/logits.hpp"
#include "lion/io/safetensors_writer.hpp"
#include "lion/model/vision.hpp"
#include "lion/train/train.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;

namespace {

constexpr Index kClasses = 10, kBatch = 24, kSteps = 80;

model::VisionConfig config(const char* mask, bool distilled) {
  model::VisionConfig c;
  c.image_size = 8;
  c.patch_size = 2;
  c.in_chans = 1;
  c.embed_dim = 16;
  c.num_heads = 2;
  c.depth = 1;
  c.num_classes = kClasses;
  c.mask_type = mask;
  c.distilled = distilled;
  return c;
}

const train::LabelledImages& digits() {
  static const train::DigitsData data =
      train::load_digits(std::string(LION_TEST_DATA_DIR) + "/../examples/data/digits.csv");
  return data.train;
}

View<const float, 4> all_images() { return {digits().pixels.data(), {digits().size(), 1, 8, 8}}; }

struct Batch {
  Tensor<float, 4> images{{kBatch, 1, 8, 8}};
  std::vector<Index> rows, labels;

  explicit Batch(std::span<const Index> of) : rows(of.begin(), of.end()) {
    float* to = images.data();
    for (const Index row : rows) {
      to = std::copy_n(digits().pixels.data() + row * 64, 64, to);
      labels.push_back(digits().labels[static_cast<std::size_t>(row)]);
    }
  }
};

/// A model so narrow learns sooner from wider weights than the deviation of 0.02, and from positions that its patches
/// do not drown.
void widen(model::Vision<float>& model) {
  for (nn::Parameter<float>* p : model.parameters()) {
    const float by = p->name == "pos_embed" ? 50 : p->name.starts_with("patch") ? 4 : 10;
    for (Index i = 0; p->shape.size() > 1 && i < p->size(); ++i) p->value(i) *= by;
  }
}

/// kSteps of AdamW; loss(batch) leaves the gradients in the model.
template <class Loss>
std::vector<double> learn(model::Vision<float>& model, Loss&& loss) {
  const auto parameters = model.parameters();
  train::AdamW<float> optimiser{std::span<nn::Parameter<float>* const>(parameters)};
  train::Batches batches(digits().size(), kBatch, 5);
  widen(model);
  std::vector<double> losses;
  for (Index step = 0; step < kSteps; ++step) {
    model.zero_grad();
    losses.push_back(loss(Batch(batches.rows(step))));
    optimiser.step(5e-3);
  }
  return losses;
}

/// Mean of the first and of the last five.
double fall(const std::vector<double>& losses) {
  double fall = 0;
  for (std::size_t i = 0; i < 5; ++i) fall += (losses[i] - losses[losses.size() - 1 - i]) / 5;
  return fall;
}

std::vector<double> distil(const char* mask, const train::Teacher<float>& teacher, bool hard) {
  model::Vision<float> student(config(mask, true));
  Tensor<float, 2> said({kBatch, kClasses});
  Tensor<float, 3> logits({2, kBatch, kClasses}), dlogits(logits.shape());
  return learn(student, [&](const Batch& batch) {
    teacher(batch.images.view(), batch.rows, said.view(), {});
    student.forward_train(batch.images.view(), logits.view());
    const View<const float, 2> heard = said.view();
    const double loss =
        hard ? train::hard_distillation<float>(logits.view(), batch.labels, train::predictions(heard), dlogits.view())
             : train::soft_distillation<float>(logits.view(), batch.labels, heard, dlogits.view(), {2, 0.5});
    student.backward(dlogits.view());
    return loss;
  });
}

}  // namespace

TEST_CASE("a student learns from a teacher's file as from the teacher") {
  model::Vision<float> model(config("softmax", false));
  Tensor<float, 2> logits({kBatch, kClasses}), dlogits(logits.shape());
  learn(model, [&](const Batch& batch) {
    model.forward_train(batch.images.view(), logits.view());
    const double loss = train::cross_entropy<float>(logits.view(), batch.labels, dlogits.view());
    model.backward(dlogits.view());
    return loss;
  });
  const char* path = "train-student-logits.safetensors";
  {
    Tensor<float, 2> said({digits().size(), kClasses});
    model.forward(all_images(), said.view());
    io::SafetensorsWriter writer;
    writer.add("logits", said);
    writer.write(path);
  }
  const Tensor<float, 2> table = io::read_logits<float>(io::SafetensorsFile::open(path), digits().size(), kClasses);
  const train::Teacher<float> written = train::table_teacher<float>(table.view());
  const train::Teacher<float> present = train::model_teacher<float>(model);
  for (const char* mask : {"softmax", "selective"}) {
    for (const bool hard : {true, false}) {
      INFO(mask << (hard ? " hard" : " soft"));
      const std::vector<double> from_file = distil(mask, written, hard);
      CAPTURE(from_file);
      REQUIRE(fall(from_file) > 0.4);
      if (hard) REQUIRE(distil(mask, written, hard) == from_file);
      const std::vector<double> from_model = distil(mask, present, hard);
      for (std::size_t i = 0; i < from_file.size(); ++i) REQUIRE(from_model[i] == Approx(from_file[i]).epsilon(1e-3));
    }
  }
}

TEST_CASE("a model that knows no scratch is a teacher too; a table knows its rows") {
  struct Constant {
    void forward(const View<const float, 4>& images, const View<float, 2>& logits) const {
      for (Index b = 0; b < images.extent(0); ++b) logits(b, 0) = *images.at(b);
    }
  };
  const Constant model;
  Tensor<float, 4> images({2, 1, 1, 1});
  images.data()[1] = 7;
  Tensor<float, 2> said({2, 1}), table({3, 1});
  train::model_teacher<float>(model)(images, {}, said, {});
  REQUIRE(said(1, 0) == 7);

  const std::vector<Index> rows{2, 0}, wrong{0, 3};
  table(2, 0) = 5;
  const Tensor<float, 2>& constant = table;
  const train::Teacher<float> teacher = train::table_teacher<float>(constant.view());
  teacher({}, rows, said, {});
  REQUIRE(said(0, 0) == 5);
  REQUIRE(said(1, 0) == 0);
  require_error<ArgumentError>([&] { teacher({}, wrong, said, {}); },
                               "table_teacher: rows[1] is 3, expected a value in [0, 3)");
  require_error<ArgumentError>([&] { teacher({}, std::span<const Index>(rows).first(1), said, {}); },
                               "table_teacher: logits has shape [2,1], expected [1,1]");
}

TEST_CASE("a file of logits is of the data set and finite, or named") {
  const std::string path = "train-student-wrong.safetensors";
  const auto open = [&](const char* name, float value) {
    Tensor<float, 2> logits({2, 3});
    logits(1, 2) = value;
    io::SafetensorsWriter writer;
    writer.add(name, logits);
    writer.write(path);
    return io::SafetensorsFile::open(path);
  };
  REQUIRE(io::read_logits<double>(open("logits", 4), 2, 3)(1, 2) == 4);
  require_error<FileError>([&] { io::read_logits<double>(open("logits", 4), 3, 3); },
                           "safetensors: " + path + ": tensor 'logits' has shape [2,3], expected [3,3]");
  require_error<FileError>([&] { io::read_logits<double>(open("logit", 4), 2, 3); },
                           "safetensors: " + path + ": has no tensor 'logits'");
  require_error<FileError>(
      [&] { io::read_logits<float>(open("logits", std::numeric_limits<float>::infinity()), 2, 3); },
      "safetensors: " + path + ": tensor 'logits' holds inf at [1,2], expected finite values");
}
