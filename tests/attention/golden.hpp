#pragma once
/// Operator goldens: problems and answers from files, each run in every form.

#include <filesystem>

#include "lion/io/safetensors.hpp"
#include "support/attention_errors.hpp"

namespace lion::test {

struct Golden {
  Problem problem;
  Answer answer;  // dlog_lambda as in the file: [H] or [B,H,L]
  double yardstick_dq = 0, yardstick_dk = 0;
  std::vector<double> yardstick_dlog_lambda;
};

inline double number(const io::SafetensorsFile& file, const std::string& key, double otherwise) {
  const auto text = file.metadata(key);
  return text ? std::stod(*text) : otherwise;
}

inline std::vector<double> values(const io::SafetensorsFile& file, const std::string& name) {
  return file.contains(name) ? file.read_values<double>(name) : std::vector<double>();
}

inline std::vector<Index> indices(const io::SafetensorsFile& file, const std::string& name) {
  if (!file.contains(name)) return {};
  const std::vector<std::int64_t> read = file.read_values<std::int64_t>(name);
  return {read.begin(), read.end()};
}

inline Golden read_golden(const std::filesystem::path& path) {
  const io::SafetensorsFile file = io::SafetensorsFile::open(path);
  const auto q = file.at("q").shape, v = file.at("v").shape;
  Golden g;
  Problem& p = g.problem;
  p.dims = {v[0], v[1], q[1], q[2], q[3], v[3]};
  p.scale = number(file, "scale", 1 / std::sqrt(static_cast<double>(q[3])));
  p.epsilon = number(file, "eps", 1e-6);
  p.normalise = file.metadata("normalise").value_or("True") == "True";
  p.q = values(file, "q");
  p.k = values(file, "k");
  p.v = values(file, "v");
  p.dy = values(file, "dy");
  if (file.contains("key_mask")) {
    const Tensor<bool, 2> keep = file.read_tensor<bool, 2>("key_mask");
    p.key_mask.assign(keep.data(), keep.data() + keep.size());
  }
  p.cu_seqlens = indices(file, "cu_seqlens");
  const std::size_t tokens = static_cast<std::size_t>(p.dims.B * p.dims.H * p.dims.L);
  for (const std::string suffix : {"", "2"}) {
    if (suffix == "2" && !file.contains("log_lambda2")) break;
    const std::vector<Index> order = indices(file, "order" + suffix);
    std::vector<double> log_lambda = values(file, "log_lambda" + suffix), spread(tokens);
    if (log_lambda.size() == tokens && file.at("log_lambda" + suffix).shape.size() == 3)
      spread = log_lambda;
    else if (!log_lambda.empty()) {
      for (std::size_t i = 0; i < tokens; ++i) {
        spread[i] = log_lambda[i / static_cast<std::size_t>(p.dims.L) % log_lambda.size()];
      }
    }
    p.orders.push_back(order);
    p.log_lambda.push_back(spread);
    g.answer.dlog_lambda.push_back(values(file, "dlog_lambda" + suffix));
    g.yardstick_dlog_lambda.push_back(number(file, "yardstick.dlog_lambda" + suffix, 0));
  }
  g.answer.y = values(file, "y");
  g.answer.dq = values(file, "dq");
  g.answer.dk = values(file, "dk");
  g.answer.dv = values(file, "dv");
  g.yardstick_dq = number(file, "yardstick.dq", 0);
  g.yardstick_dk = number(file, "yardstick.dk", 0);
  return g;
}

inline void require_golden(const Answer& got, const Golden& g, const Limits& limits) {
  CHECK(relative_error(got.y, g.answer.y) <= limits.outputs);
  CHECK(relative_error(got.dq, g.answer.dq, g.yardstick_dq) <= limits.gradients);
  CHECK(relative_error(got.dk, g.answer.dk, g.yardstick_dk) <= limits.gradients);
  CHECK(relative_error(got.dv, g.answer.dv) <= limits.gradients);
  for (std::size_t r = 0; r < g.answer.dlog_lambda.size(); ++r) {
    INFO("mask " << r);
    CHECK(relative_error(got.dlog_lambda[r], g.answer.dlog_lambda[r], g.yardstick_dlog_lambda[r]) <= limits.gradients);
  }
}

/// One problem in every form.
template <class T, class M, class N, class Check>
void for_each_form(const Problem& p, const RunOptions& options, Check&& check) {
  const auto one = [&](auto form, const std::string& name) {
    INFO("form " << name);
    check(run<T>(attention_for<M, decltype(form), N>(p, form), p, options));
  };
  one(form::Full{}, "full");
  one(form::Rnn{}, "rnn");
  one(form::Auto{}, "auto");
  for (Index size : {1, 7, 16, 64, 100, 1000}) one(form::Chunk{size}, "chunk of " + std::to_string(size));
}

/// f(golden) for every golden of a mask.
template <class M, class F>
void for_each_golden(F&& f) {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LION_GOLDEN_DIR)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("op-" + std::string(M::name))) continue;
    INFO(name);
    ++seen;
    f(read_golden(entry.path()));
  }
  REQUIRE(seen > 0);
}

/// Every golden of a mask, in every form.
template <class T, class M>
void require_goldens() {
  for_each_golden<M>([](const Golden& g) {
    for (const RunOptions& options : {RunOptions{}, RunOptions{.layout = Layout::tokens, .keep = false}}) {
      const auto check = [&](const Answer& got) { require_golden(got, g, limits<T>()); };
      if (g.problem.normalise) {
        for_each_form<T, M, normalise::RowSum>(g.problem, options, check);
      } else {
        for_each_form<T, M, normalise::None>(g.problem, options, check);
      }
    }
  });
}

}  // namespace lion::test
