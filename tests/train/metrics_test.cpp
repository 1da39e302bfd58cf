// Against scikit-learn 1.9.1 and SciPy 1.17.1, whose values were computed once.

#include "lion/train/metrics.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "lion/train/glue.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::train;

namespace {

using Classes = std::vector<Index>;
using Scores = std::vector<double>;

const Classes kPredicted{0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1};
const Classes kLabels{0, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 1, 0};
const Scores kX{0.5, 4.75, 3.0, 3.0, 1.25, 5.0, 2.5, 0.0, 3.5, 2.5};
const Scores kY{0.0, 5.0, 3.2, 2.8, 1.0, 4.4, 3.2, 0.4, 3.0, 1.6};

}  // namespace

TEST_CASE("metrics of classes") {
  REQUIRE(accuracy(kPredicted, kLabels) == Approx(0.7).epsilon(1e-15));
  REQUIRE(f1(kPredicted, kLabels) == Approx(0.7272727272727273).epsilon(1e-14));
  REQUIRE(f1(kPredicted, kLabels, 0) == Approx(0.6666666666666666).epsilon(1e-14));
  REQUIRE(matthews_correlation(kPredicted, kLabels) == Approx(0.3939393939393939).epsilon(1e-14));
  const Classes predicted{0, 1, 2, 2, 1, 0, 0, 2, 1, 1, 2, 0, 1, 2, 0};
  const Classes labels{0, 1, 2, 1, 1, 0, 2, 2, 0, 1, 2, 0, 2, 2, 1};
  REQUIRE(matthews_correlation(predicted, labels) == Approx(0.5033670414105182).epsilon(1e-14));
  REQUIRE(matthews_correlation(labels, labels) == 1);
  REQUIRE(matthews_correlation(Classes{0, 1, 0}, Classes{1, 0, 1}) == -1);
}

TEST_CASE("metrics of scores") {
  REQUIRE(pearson_correlation(kX, kY) == Approx(0.9528879920186671).epsilon(1e-14));
  REQUIRE(spearman_correlation(kX, kY) == Approx(0.8746218267442492).epsilon(1e-14));
  REQUIRE(average_ranks(kX) == Scores{2, 9, 6.5, 6.5, 3, 10, 4.5, 1, 8, 4.5});
  // A shift changes little, and one much larger than the values' spread no more than its rounding.
  Scores shifted = kY, cubed = kY;
  for (double& y : shifted) y += 1e9;
  for (double& y : cubed) y = y * y * y;
  REQUIRE(pearson_correlation(kX, shifted) == Approx(0.9528879905161652).epsilon(1e-9));
  REQUIRE(spearman_correlation(kX, cubed) == spearman_correlation(kX, kY));
  REQUIRE(spearman_correlation(Scores{1, 2, 3}, Scores{9, 4, 1}) == Approx(-1).epsilon(1e-15));
}

TEST_CASE("what has no answer has the documented one") {
  REQUIRE(f1(Classes{0, 0}, Classes{0, 0}) == 0);
  REQUIRE(f1(Classes{1, 1}, Classes{0, 0}) == 0);
  REQUIRE(f1(Classes{1, 1}, Classes{1, 1}) == 1);
  REQUIRE(matthews_correlation(Classes{1, 1, 1}, Classes{1, 1, 0}) == 0);
  REQUIRE(matthews_correlation(Classes{1, 0}, Classes{1, 1}) == 0);
  const Scores constant{0.1, 0.1, 0.1}, rising{1, 2, 3};  // the mean of three 0.1 is not 0.1
  REQUIRE(std::isnan(pearson_correlation(constant, rising)));
  REQUIRE(std::isnan(pearson_correlation(rising, constant)));
  REQUIRE(std::isnan(spearman_correlation(constant, rising)));
  const Scores missing{1, std::numeric_limits<double>::quiet_NaN(), 3};
  REQUIRE(std::isnan(pearson_correlation(missing, rising)));
  REQUIRE(std::isnan(spearman_correlation(rising, missing)));
}

TEST_CASE("sizes that do not fit are refused") {
  require_error<ArgumentError>([] { accuracy(Classes{1}, Classes{}); },
                               "accuracy: predictions has 1 entries, expected 0 to match labels");
  require_error<ArgumentError>([] { f1(Classes{}, Classes{}); }, "f1: labels has 0 entries, expected at least 1");
  require_error<ArgumentError>([] { matthews_correlation(Classes{}, Classes{}); },
                               "matthews_correlation: labels has 0 entries, expected at least 1");
  require_error<ArgumentError>([] { pearson_correlation(Scores{1}, Scores{1}); },
                               "pearson_correlation: labels has 1 entries, expected at least 2");
  require_error<ArgumentError>(
      [] {
        spearman_correlation(Scores{1, 2}, Scores{1});
      },
      "spearman_correlation: predictions has 2 entries, expected 1 to match labels");
}

TEST_CASE("each task of GLUE has its metrics") {
  REQUIRE(glue_tasks().size() == 9);
  for (const GlueTaskInfo& task : glue_tasks()) {
    REQUIRE(&glue_task(task.task) == &task);
    REQUIRE(&glue_task(task.name) == &task);
    const bool scores = task.task == GlueTask::kStsb;
    REQUIRE(task.is_regression() == scores);
    REQUIRE(task.classes() == (scores ? 0 : task.task == GlueTask::kMnli ? 3 : 2));
    const auto values = scores ? glue_metrics(task.task, kX, kY) : glue_metrics(task.task, kPredicted, kLabels);
    REQUIRE(values.size() == task.metrics.size());
    for (std::size_t i = 0; i < values.size(); ++i) REQUIRE(values[i].metric == task.metrics[i]);
  }
  REQUIRE(&glue_task("sts-b") == &glue_task(GlueTask::kStsb));
  REQUIRE(glue_metrics(GlueTask::kCola, kPredicted, kLabels)[0].value == Approx(0.3939393939393939));
  const auto mrpc = glue_metrics(GlueTask::kMrpc, kPredicted, kLabels);
  REQUIRE(name_of(mrpc[0].metric) == "accuracy");
  REQUIRE(mrpc[0].value == Approx(0.7));
  REQUIRE(name_of(mrpc[1].metric) == "F1");
  REQUIRE(glue_score(mrpc) == Approx((0.7 + 0.7272727272727273) / 2));
  const auto stsb = glue_metrics(GlueTask::kStsb, kX, kY);
  REQUIRE(stsb[0].value == Approx(0.9528879920186671));
  REQUIRE(stsb[1].value == Approx(0.8746218267442492));
  require_error<ArgumentError>([] { glue_metrics(GlueTask::kStsb, kLabels, kLabels); },
                               "glue: STS-B is judged by scores, expected no classes");
  require_error<ArgumentError>([] { glue_metrics(GlueTask::kRte, kX, kX); },
                               "glue: RTE is judged by classes, expected no scores");
  require_error<ArgumentError>(
      [] { glue_task("SQuAD"); },
      "glue: task is 'SQuAD', expected one of CoLA, SST-2, MRPC, QQP, STS-B, MNLI, QNLI, RTE, WNLI");
}
