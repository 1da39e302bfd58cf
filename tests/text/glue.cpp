// GLUE's files in each task's layout, and what is none.

#include "lion/text/glue.hpp"

#include <cmath>
#include <sstream>
#include <string>

#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using text::GlueData;

namespace {

GlueData read(GlueTask task, const std::string& text, const text::GlueOptions& options = {}) {
  std::istringstream stream(text);
  return text::read_glue(task, stream, "dev.tsv", options);
}

/// One example of the file: its texts and its class (or -1).
void require_one(GlueTask task, const std::string& text, const std::string& first, const std::string& second,
                 Index label) {
  const GlueData data = read(task, text);
  CAPTURE(text);
  REQUIRE(data.examples.size() == 1);
  REQUIRE(data.examples[0].first == first);
  REQUIRE(data.examples[0].second == second);
  REQUIRE(data.examples[0].label == label);
  REQUIRE(data.labelled == (label >= 0));
  REQUIRE(std::isnan(data.examples[0].score));
}

void require_refused(GlueTask task, const std::string& text, const std::string& message) {
  require_error<FileError>([&] { read(task, text); }, "glue: dev.tsv " + message);
}

}  // namespace

TEST_CASE("each task's files, with labels and without") {
  using enum GlueTask;
  require_one(kCola, "gj04\t1\t\tOur friends won't buy this.\n", "Our friends won't buy this.", "", 1);
  require_one(kCola, "cj99\t0\t*\tThe more.\r\n", "The more.", "", 0);
  require_one(kCola, "index\tsentence\n0\tBill whistled.\n", "Bill whistled.", "", -1);
  require_one(kSst2, "sentence\tlabel\nhide \"new\" \t0\n", "hide \"new\" ", "", 0);
  require_one(kSst2, "index\tsentence\n0\tuneasy mishmash\n", "uneasy mishmash", "", -1);
  require_one(kMrpc, "\xEF\xBB\xBFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\t\"A said\tB\n", "\"A said", "B",
              1);
  require_one(kMrpc, "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\tA\tB\n", "A", "B", -1);
  require_one(kQqp, "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n3\t4\t5\tWhy?\tHow?\t0\n", "Why?", "How?", 0);
  require_one(kQqp, "id\tquestion1\tquestion2\n3\tWhy?\tHow?\n", "Why?", "How?", -1);
  const std::string parses = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t";
  const std::string mnli = "index\tpromptID\tpairID\tgenre\t" + parses + "sentence1\tsentence2";
  const std::string row = "0\t1\t2\ttravel\t(a)\t(b)\t(A)\t(B)\tA\tB";
  require_one(kMnli, mnli + "\tlabel1\tgold_label\n" + row + "\tneutral\tneutral\n", "A", "B", 1);
  require_one(kMnli,
              mnli + "\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n" + row +
                  "\tneutral\tneutral\tentailment\tneutral\tneutral\tcontradiction\n",
              "A", "B", 2);
  require_one(kMnli, mnli + "\n" + row + "\n", "A", "B", -1);
  require_one(kQnli, "index\tquestion\tsentence\tlabel\n0\tWho?\tHe.\tnot_entailment\n", "Who?", "He.", 1);
  require_one(kQnli, "index\tquestion\tsentence\n0\tWho?\tHe.\n", "Who?", "He.", -1);
  require_one(kRte, "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tentailment\n", "A", "B", 0);
  require_one(kRte, "index\tsentence1\tsentence2\n0\tA\tB\n", "A", "B", -1);
  require_one(kWnli, "index\tsentence1\tsentence2\tlabel\n0\tA\tB\t1", "A", "B", 1);
  require_one(kWnli, "index\tsentence1\tsentence2\n0\tA\tB\n", "A", "B", -1);

  const std::string stsb = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2";
  const GlueData scored =
      read(kStsb, stsb + "\tscore\n0\tg\tf\ty\t1\tn\tn\tA\tB\t3.800\n1\tg\tf\ty\t1\tn\tn\tC\tD\t5\n");
  REQUIRE(scored.examples.size() == 2);
  REQUIRE(scored.examples[0].score == 3.8);
  REQUIRE(scored.examples[1].score == 5);
  REQUIRE(scored.examples[1].second == "D");
  REQUIRE(scored.examples[0].label == -1);
  require_one(kStsb, stsb + "\n0\tg\tf\ty\t1\tn\tn\tA\tB\n", "A", "B", -1);
}

TEST_CASE("what is no such file is named with its line and column") {
  using enum GlueTask;
  require_refused(kSst2, "", "is empty, expected SST-2's columns");
  require_refused(kRte, "index\tsentence1\tlabel\n", "line 1: header has no column 'sentence2', which RTE has");
  require_refused(kCola, "gj04\t1\tx\n", "line 1: 3 columns, expected 4");
  require_refused(kCola, "gj04\t1\t\ta\ngj04\t2\t\tb\n", "line 2: column 2 (label) is '2', expected one of 0, 1");
  require_refused(kQnli, "index\tquestion\tsentence\tlabel\n0\ta\tb\tmaybe\n",
                  "line 2: column 4 (label) is 'maybe', expected one of entailment, not_entailment");
  require_refused(kSst2, "sentence\tlabel\na\t1\nb\t1\tc\n", "line 3: 3 columns, expected 2");
  require_refused(kSst2, "sentence\tlabel\n\n", "line 2: 1 columns, expected 2");
  for (const std::string score : {"", "5.1", "-1", "nan", "3.8x", " 3"}) {
    require_refused(kStsb, "sentence1\tsentence2\tscore\na\tb\t" + score + "\n",
                    "line 2: column 3 (score) is '" + score + "', expected a number in [0, 5]");
  }
  require_error<FileError>([] { text::load_glue(kRte, "no-such.tsv"); },
                           "glue: no-such.tsv: No such file or directory");
}

TEST_CASE("rows of other lengths are left out and counted where that is asked for") {
  const GlueData data =
      read(GlueTask::kSst2, "sentence\tlabel\na\t1\nb\nc\t0\t\nd\t0\n", {.skip_malformed_rows = true});
  REQUIRE(data.skipped == 2);
  REQUIRE(data.examples.size() == 2);
  REQUIRE(data.examples[1].first == "d");
}
