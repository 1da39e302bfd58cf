#include "lion/nn/linear.hpp"

#include "figures/subject.hpp"
#include "lion/io/safetensors_writer.hpp"

namespace lion::bench {
namespace {

class LinearLayer final : public Subject {
 public:
  explicit LinearLayer(const SubjectOptions& o)
      : layer_("linear", o.in, o.out), x_({o.length, o.in}), y_({o.length, o.out}) {
    const nn::PlacedRandom random(0, 0);
    layer_.initialise(random.stream(1));
    pack(layer_.weight, o);
    for (Index i = 0; i < x_.size(); ++i) {
      x_.data()[i] = static_cast<float>(2 * random.uniform(static_cast<std::uint64_t>(i)) - 1);
    }
  }

  void run(const Executor& executor) override { layer_.forward(x_.view(), y_.view(), executor); }

  void write_inputs(const std::string& path) const override {
    io::SafetensorsWriter writer;
    writer.add("x", x_);
    writer.add("weight", io::Dtype::kF32, layer_.weight.shape, bytes(layer_.weight));
    writer.add("bias", io::Dtype::kF32, layer_.bias.shape, bytes(layer_.bias));
    writer.write(path);
  }

  void write_output(const std::string& path) const override {
    io::SafetensorsWriter writer;
    writer.add("y", y_);
    writer.write(path);
  }

  double operations() const override {
    return 2.0 * static_cast<double>(x_.size()) * static_cast<double>(y_.extent(1));
  }

 private:
  static std::span<const std::byte> bytes(const nn::Parameter<float>& p) {
    return std::as_bytes(std::span(p.value.data(), static_cast<std::size_t>(p.size())));
  }

  nn::Linear<float> layer_;
  Tensor<float, 2> x_, y_;  // [N,in], [N,out]
};

}  // namespace

std::unique_ptr<Subject> linear_subject(const SubjectOptions& options) {
  return std::make_unique<LinearLayer>(options);
}

}  // namespace lion::bench
