// Documents from lines, paragraphs, JSON lines, and from several files.

#include "lion/text/documents.hpp"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "lion/io/json_lines.hpp"
#include "lion/text/word_piece_trainer.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;

namespace {

using Texts = std::vector<std::string>;

template <text::DocumentSource Documents>
Texts all(Documents documents) {
  Texts texts;
  for (std::string text; documents.next(text);) texts.push_back(text);
  return texts;
}

template <class Documents>
Texts all(const std::string& text) {
  std::istringstream stream(text);
  return all(Documents(stream, "x"));
}

void require_refused(const std::string& line, const std::string& message) {
  require_error<FileError>([&] { all<io::JsonLines>("{\"text\":\"\"}\n" + line); }, "json_lines: x line 2: " + message);
}

}  // namespace

TEST_CASE("lines and paragraphs") {
  const std::string text = "\n \t\none\r\n two \n\n\n\xFFthree\n \nfour";
  REQUIRE(all<text::Lines>(text) == Texts{"one", " two ", "\xFFthree", "four"});
  REQUIRE(all<text::Paragraphs>(text) == Texts{"one\n two ", "\xFFthree", "four"});
  REQUIRE(all<text::Paragraphs>("").empty());
  REQUIRE(all<text::Lines>("\n\n").empty());
  require_error<FileError>([] { text::Lines("no-such"); }, "text: no-such: No such file or directory");
}

TEST_CASE("JSON lines, as C4 has them") {
  REQUIRE(
      all<io::JsonLines>("{\"text\":\"caf\\u00e9\\n\\ud83d\\ude00\",\"url\":\"u\"}\r\n\n{\"url\":{},\"text\":\"\"}") ==
      Texts{"caf\u00E9\n\U0001F600", ""});
  std::istringstream stream("{\"body\":\"b\"}\n");
  REQUIRE(all(io::JsonLines(stream, "x", "body")) == Texts{"b"});
}

TEST_CASE("lines that are no such objects are named") {
  require_refused("{\"text\":\"\",\"score\":1e999}", "is not JSON that can be read: a number in it is too large");
  require_refused("{\"text\":", "is not valid JSON at its byte 9");
  require_refused("{\"text\":\"\xFF\"}", "is not valid JSON at its byte 10");
  require_refused("{\"text\":\"a\"} x", "is not valid JSON at its byte 14");
  require_refused("[]", "is an array, expected an object");
  require_refused("3", "is a number, expected an object");
  require_refused("{\"texts\":\"a\"}", "has no field 'text'");
  require_refused("{\"text\":null}", "field 'text' is null, expected a string");
  require_refused("{\"text\":{}}", "field 'text' is an object, expected a string");
  require_error<FileError>([] { io::JsonLines("no-such"); }, "json_lines: no-such: No such file or directory");
}

TEST_CASE("several files are one stream") {
  const Texts names{"text-documents-1.jsonl", "text-documents-2.jsonl", "text-documents-3.jsonl"};  // in the build tree
  std::ofstream(names[0]) << "{\"text\":\"to be\"}\n{\"text\":\"or\"}\n";
  std::ofstream(names[1]) << "";
  std::ofstream(names[2]) << "{\"text\":\"not to be\"}";
  const std::vector<std::filesystem::path> paths(names.begin(), names.end());
  REQUIRE(all(text::Files<io::JsonLines>(paths)) == Texts{"to be", "or", "not to be"});
  const auto vocabulary = text::train_word_piece(text::Files<io::JsonLines>(paths), {.vocab_size = 30});
  REQUIRE(vocabulary.find("to"));
  REQUIRE(vocabulary.find("be"));
  REQUIRE(!vocabulary.find("not"));

  auto missing = paths;
  missing.emplace_back("no-such");
  text::Files<io::JsonLines> documents(missing);
  std::string text;
  for (int i = 0; i < 3; ++i) REQUIRE(documents.next(text));
  require_error<FileError>([&] { documents.next(text); }, "json_lines: no-such: No such file or directory");
}
