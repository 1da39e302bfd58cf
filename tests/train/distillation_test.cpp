#include "lion/train/distillation.hpp"

#include <cmath>
#include <vector>

#include "lion/train/cross_entropy.hpp"
#include "lion/train/soft_cross_entropy.hpp"
#include "nn/differences.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::train;

namespace {

View<const double, 2> head(const Tensor<double, 3>& x, Index r) {
  return View<const double, 2>(x.view().at(r), {x.extent(1), x.extent(2)});
}

/// softmax(x[b]/τ)_k as the formula reads.
double probability(const View<const double, 2>& x, Index b, Index k, double temperature) {
  double sum = 0;
  for (Index j = 0; j < x.extent(1); ++j) sum += std::exp(x(b, j) / temperature);
  return std::exp(x(b, k) / temperature) / sum;
}

double divergence(const View<const double, 2>& student, const View<const double, 2>& teacher, double temperature) {
  double sum = 0;
  for (Index b = 0; b < student.extent(0); ++b) {
    for (Index k = 0; k < student.extent(1); ++k) {
      const double p = probability(student, b, k, temperature), q = probability(teacher, b, k, temperature);
      sum += q * std::log(q / p);
    }
  }
  return sum / static_cast<double>(student.extent(0));
}

const std::vector<Index> kLabels{5, 0, 3, 3}, kTeacher{5, 2, 1, 3};

/// Soft targets as mixup makes them, [4,6].
Tensor<double, 2> mixed_targets() {
  Tensor<double, 2> targets({4, 6});
  for (Index b = 0; b < 4; ++b) {
    targets(b, kLabels[static_cast<std::size_t>(b)]) += 0.75;
    targets(b, (b + 2) % 6) += 0.25;
  }
  return targets;
}

}  // namespace

TEST_CASE("hard distillation is half the label's cross-entropy and half the teacher's, each on its classifier") {
  const auto logits = nn_test::tensor<double, 3>({2, 4, 6}, 1, 3);
  const double teacher = cross_entropy<double>(head(logits, 1), kTeacher);
  REQUIRE(hard_distillation<double>(logits.view(), kLabels, kTeacher) ==
          Approx((cross_entropy<double>(head(logits, 0), kLabels) + teacher) / 2).epsilon(1e-14));
  REQUIRE(hard_distillation<double>(logits.view(), kLabels, kTeacher, {}, 0.1) ==
          Approx((cross_entropy<double>(head(logits, 0), kLabels, {}, 0.1) + teacher) / 2).epsilon(1e-14));
  const Tensor<double, 2> targets = mixed_targets();
  REQUIRE(hard_distillation<double>(logits.view(), targets.view(), kTeacher) ==
          Approx((soft_cross_entropy<double>(head(logits, 0), targets.view()) + teacher) / 2).epsilon(1e-14));
  const Tensor<double, 3> one = nn_test::tensor<double, 3>({1, 4, 6}, 1, 3);
  REQUIRE(hard_distillation<double>(one.view(), kLabels, kTeacher) ==
          Approx((cross_entropy<double>(head(one, 0), kLabels) + cross_entropy<double>(head(one, 0), kTeacher)) / 2)
              .epsilon(1e-14));
}

TEST_CASE("soft distillation is (1 - a) cross-entropy and a T^2 KL(teacher, student)") {
  const auto logits = nn_test::tensor<double, 3>({2, 4, 6}, 2, 3);
  const auto teacher = nn_test::tensor<double, 2>({4, 6}, 3, 5);
  for (const SoftDistillation options : {SoftDistillation{}, SoftDistillation{1, 0.5}, SoftDistillation{7, 1}}) {
    const double t = options.temperature, a = options.weight;
    const double kl = divergence(head(logits, 1), teacher.view(), t);
    REQUIRE(soft_distillation<double>(logits.view(), kLabels, teacher.view(), {}, options, 0.1) ==
            Approx((1 - a) * cross_entropy<double>(head(logits, 0), kLabels, {}, 0.1) + a * t * t * kl).epsilon(1e-12));
    const Tensor<double, 2> targets = mixed_targets();
    REQUIRE(
        soft_distillation<double>(logits.view(), targets.view(), teacher.view(), {}, options) ==
        Approx((1 - a) * soft_cross_entropy<double>(head(logits, 0), targets.view()) + a * t * t * kl).epsilon(1e-12));
  }
  // nothing is left to learn from a teacher that says the same
  Tensor<double, 3> gradient({2, 4, 6});
  gradient.fill(7);
  REQUIRE(std::abs(soft_distillation<double>(logits.view(), kLabels, head(logits, 1), gradient.view(), {2, 1})) <
          1e-14);
  for (Index i = 0; i < gradient.size(); ++i) REQUIRE(std::abs(gradient.data()[i]) < 1e-15);
}

TEST_CASE("teachers that are far surer than the student, or infinitely sure, give finite losses") {
  Tensor<float, 3> logits({1, 2, 3}), gradient({1, 2, 3});
  Tensor<float, 2> teacher({2, 3});
  teacher(0, 1) = 1e30f;
  teacher(1, 2) = 2000;
  const std::vector<Index> labels{1, 2};
  const float log3 = std::log(3.0f);
  REQUIRE(soft_distillation<float>(logits.view(), labels, teacher.view(), gradient.view(), {1, 1}) == Approx(log3));
  REQUIRE(gradient(0, 0, 1) == Approx((1.0 / 3 - 1) / 2));
  REQUIRE(gradient(0, 1, 0) == Approx(1.0 / 6));
}

TEST_CASE("gradients of both losses are their derivatives") {
  const auto teacher = nn_test::tensor<double, 2>({4, 6}, 3, 5);
  const Tensor<double, 2> targets = mixed_targets();
  for (const Index classifiers : {1, 2}) {
    INFO(classifiers << " classifiers");
    auto logits = nn_test::tensor<double, 3>({classifiers, 4, 6}, 2, 3);
    const View<const double, 3> z = logits.view();
    Tensor<double, 3> gradient(logits.shape());
    const auto check = [&](const char* name, auto&& loss) {
      gradient.fill(std::nan(""));
      loss(gradient.view());
      nn_test::require_gradient(name, logits.data(), logits.size(), gradient.data(),
                                [&] { return loss(View<double, 3>()); });
    };
    using D = View<double, 3>;
    check("hard", [&](D d) { return hard_distillation<double>(z, kLabels, kTeacher, d, 0.1); });
    check("hard, soft targets", [&](D d) { return hard_distillation<double>(z, targets.view(), kTeacher, d); });
    check("soft", [&](D d) { return soft_distillation<double>(z, kLabels, teacher.view(), d, {3, 0.4}, 0.1); });
    check("soft, soft targets", [&](D d) {
      return soft_distillation<double>(z, targets.view(), teacher.view(), d, {0.5, 0.9});
    });
  }
}

TEST_CASE("micro-batches add up to their step, with the same bits for any number of threads") {
  const auto logits = nn_test::tensor<double, 3>({2, 4, 6}, 2, 3);
  const auto teacher = nn_test::tensor<double, 2>({4, 6}, 3, 5);
  const Tensor<double, 2> targets = mixed_targets();
  Tensor<double, 3> whole({2, 4, 6}), parts({2, 4, 6});
  const auto rows = [](auto x, Index first, Index n) {  // of [R,B,K]
    return decltype(x)(x.at(0, first), {x.extent(0), n, x.extent(2)}, x.strides());
  };
  const auto matrix_rows = [](View<const double, 2> x, Index first, Index n) {
    return View<const double, 2>(x.at(first), {n, x.extent(1)});
  };
  const View<const double, 3> z = logits.view();
  const std::span<const Index> labels(kLabels), teachers(kTeacher);
  ThreadPool pool(3);
  const double hard = hard_distillation<double>(z, labels, teachers, whole.view(), 0.1);
  REQUIRE(hard_distillation<double>(z, labels, teachers, parts.view(), 0.1, pool) == hard);
  REQUIRE(std::equal(whole.data(), whole.data() + whole.size(), parts.data()));
  REQUIRE(hard_distillation<double>(rows(z, 0, 1), labels.first(1), teachers.first(1), rows(parts.view(), 0, 1), 0.1,
                                    {}, 4) +
              hard_distillation<double>(rows(z, 1, 3), labels.last(3), teachers.last(3), rows(parts.view(), 1, 3), 0.1,
                                        {}, 4) ==
          Approx(hard).epsilon(1e-14));
  REQUIRE(std::equal(whole.data(), whole.data() + whole.size(), parts.data()));

  const double soft = soft_distillation<double>(z, targets.view(), teacher.view(), whole.view());
  REQUIRE(soft_distillation<double>(z, targets.view(), teacher.view(), parts.view(), {}, pool) == soft);
  REQUIRE(std::equal(whole.data(), whole.data() + whole.size(), parts.data()));
  parts.fill(0);
  double sum = 0;
  for (const Index first : {0, 2}) {
    sum += soft_distillation<double>(rows(z, first, 2), matrix_rows(targets.view(), first, 2),
                                     matrix_rows(teacher.view(), first, 2), rows(parts.view(), first, 2), {}, {}, 4);
  }
  REQUIRE(sum == Approx(soft).epsilon(1e-14));
  REQUIRE(std::equal(whole.data(), whole.data() + whole.size(), parts.data()));
  require_error<ArgumentError>(
      [&] { soft_distillation<double>(z, targets.view(), teacher.view(), parts.view(), {}, {}, 3); },
      "soft_distillation: rows is 3, expected 0 or at least the 4 rows of logits");
}

TEST_CASE("distillation says what is wrong and writes nothing") {
  const auto logits = nn_test::tensor<double, 3>({2, 2, 3}, 2, 3), three = nn_test::tensor<double, 3>({3, 2, 3}, 2);
  const Tensor<double, 2> teacher({2, 3}), wide({2, 4});
  Tensor<double, 3> gradient({2, 2, 3}), misshapen({2, 2, 4});
  gradient.fill(7);
  const std::vector<Index> labels{0, 2}, wrong{0, 3};
  const auto hard = [&](const Tensor<double, 3>& z, std::span<const Index> y, std::span<const Index> t,
                        View<double, 3> d) { return [=, &z] { hard_distillation<double>(z.view(), y, t, d, 0); }; };
  require_error<ArgumentError>(hard(logits, wrong, labels, gradient.view()),
                               "hard_distillation: labels[1] is 3, expected a value in [0, 3)");
  require_error<ArgumentError>(hard(logits, labels, wrong, gradient.view()),
                               "hard_distillation: teacher_labels[1] is 3, expected a value in [0, 3)");
  require_error<ArgumentError>(hard(logits, labels, std::span<const Index>(labels).first(1), gradient.view()),
                               "hard_distillation: teacher_labels has shape [1], expected [2] to match logits");
  require_error<ArgumentError>(hard(logits, labels, labels, misshapen.view()),
                               "hard_distillation: dlogits has shape [2,2,4], expected [2,2,3] to match logits");
  require_error<ArgumentError>(hard(three, labels, labels, {}),
                               "hard_distillation: logits has shape [3,2,3], expected one or two classifiers");
  const auto soft = [&](const Tensor<double, 2>& t, SoftDistillation options, double smoothing) {
    return [=, &logits, &labels, &t, &gradient] {
      soft_distillation<double>(logits.view(), labels, t.view(), gradient.view(), options, smoothing);
    };
  };
  require_error<ArgumentError>(soft(wide, {}, 0),
                               "soft_distillation: teacher has shape [2,4], expected [2,3] to match logits");
  require_error<ArgumentError>(soft(teacher, {0, 0.5}, 0),
                               "soft_distillation: temperature is 0.000000, expected a finite value above 0");
  require_error<ArgumentError>(soft(teacher, {3, 1.5}, 0),
                               "soft_distillation: weight is 1.500000, expected a value in [0, 1]");
  require_error<ArgumentError>(soft(teacher, {}, -1),
                               "soft_distillation: label_smoothing is -1.000000, expected a value in [0, 1]");
  for (Index i = 0; i < gradient.size(); ++i) REQUIRE(gradient.data()[i] == 7);
}
