#include "figures/subject.hpp"
#include "lion/io/safetensors_writer.hpp"
#include "lion/lion.hpp"
#include "lion/nn/random.hpp"
#include "lion/nn/softmax_attention.hpp"
#include "lion/visit.hpp"

namespace lion::bench {
namespace {

template <std::size_t Rank>
Tensor<float, Rank> drawn(const Shape<Rank>& shape, std::uint64_t stream, double low, double high) {
  Tensor<float, Rank> tensor(shape);
  const nn::PlacedRandom random(0, stream);
  for (Index i = 0; i < tensor.size(); ++i) {
    tensor.data()[i] = static_cast<float>(low + (high - low) * random.uniform(static_cast<std::uint64_t>(i)));
  }
  return tensor;
}

/// q, k, v and y, and their files.
class OnTensors : public Subject {
 public:
  explicit OnTensors(const SubjectOptions& o)
      : q_(drawn<4>({o.batch, o.heads, o.length, o.width}, 0, 0, 1)),
        k_(drawn<4>(q_.shape(), 1, 0, 1)),
        v_(drawn<4>(q_.shape(), 2, -1, 1)),
        y_(q_.shape()) {}

  void write_inputs(const std::string& path) const override {
    io::SafetensorsWriter writer;
    writer.add("q", q_);
    writer.add("k", k_);
    writer.add("v", v_);
    add_decays(writer);
    writer.write(path);
  }

  void write_output(const std::string& path) const override {
    io::SafetensorsWriter writer;
    writer.add("y", y_);
    writer.write(path);
  }

 protected:
  virtual void add_decays(io::SafetensorsWriter&) const {}
  AttentionInputs<float> inputs() const { return {q_.view(), k_.view(), v_.view()}; }

  Tensor<float, 4> q_, k_, v_, y_;
  Workspace workspace_;
};

template <class M, class F>
class Operator final : public OnTensors {
 public:
  Operator(const SubjectOptions& o, F form) : OnTensors(o), attention_{.form = form} {
    if constexpr (M::decay == mask::DecayKind::per_head) log_lambda_ = drawn<1>({o.heads}, 3, -0.1, 0);
    if constexpr (M::decay == mask::DecayKind::per_token) {
      log_lambda_ = drawn<3>({o.batch, o.heads, o.length}, 3, -0.5, 0);
    }
  }

  void run(const Executor& executor) override {
    attention_.forward(inputs(), parameters(), {y_.view()}, workspace_, executor);
  }

  std::size_t scratch(const Executor& executor) const override { return attention_.workspace_size(inputs(), executor); }

 private:
  void add_decays(io::SafetensorsWriter& writer) const override {
    if constexpr (M::decay != mask::DecayKind::none) writer.add("log_lambda", log_lambda_);
  }

  MaskParameters<M, float> parameters() const {
    if constexpr (M::decay == mask::DecayKind::none) {
      return {};
    } else {
      return {log_lambda_.view()};
    }
  }

  Attention<M, F> attention_;
  Tensor<float, M::decay == mask::DecayKind::per_head ? 1 : 3> log_lambda_;
};

class Softmax final : public OnTensors {
 public:
  using OnTensors::OnTensors;

  void run(const Executor& executor) override { attention_.forward(inputs(), y_.view(), {}, workspace_, executor); }

  std::size_t scratch(const Executor& executor) const override { return attention_.workspace_size(inputs(), executor); }

 private:
  nn::SoftmaxAttention<float> attention_;
};

}  // namespace

std::unique_ptr<Subject> operator_subject(const SubjectOptions& options) {
  if (options.mask == "softmax") return std::make_unique<Softmax>(options);
  return visit_mask(options.mask, [&](auto mask) {
    return visit_form(options.form, options.chunk_size, [&](auto form) -> std::unique_ptr<Subject> {
      return std::make_unique<Operator<decltype(mask), decltype(form)>>(options, form);
    });
  });
}

}  // namespace lion::bench
