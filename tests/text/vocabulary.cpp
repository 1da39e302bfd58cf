// Reading and writing vocab.txt, and what is no vocabulary.

#include "lion/text/vocabulary.hpp"

#include <sys/resource.h>

#include <csignal>
#include <sstream>
#include <string>

#include "io/files.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using lion::text::Vocabulary;

namespace {

const std::string kRoles = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";

Vocabulary read(const std::string& text, const text::SpecialTokens& special = {}) {
  std::istringstream stream(text);
  return Vocabulary::read(stream, "v.txt", special);
}

void require_refused(const std::string& text, const std::string& message) {
  require_error<FileError>([&] { read(text); }, "vocabulary: v.txt " + message);
}

}  // namespace

TEST_CASE("a line is a token, its number the line") {
  const Vocabulary vocabulary = read(kRoles + "the\r\n##s\r\n\u00E9");
  REQUIRE(vocabulary.size() == 8);
  REQUIRE(vocabulary.token(5) == "the");
  REQUIRE(vocabulary.id("##s") == 6);
  REQUIRE(vocabulary.find("\u00E9") == 7);
  REQUIRE(!vocabulary.find("th"));
  REQUIRE(vocabulary.pad_id() == 0);
  REQUIRE(vocabulary.unk_id() == 1);
  REQUIRE(vocabulary.cls_id() == 2);
  REQUIRE(vocabulary.sep_id() == 3);
  REQUIRE(vocabulary.mask_id() == 4);
  REQUIRE(vocabulary.is_special(4));
  REQUIRE(!vocabulary.is_special(5));
  const text::SpecialTokens roberta{.unk = "<unk>", .cls = "<s>", .sep = "</s>", .pad = "<pad>", .mask = "<mask>"};
  REQUIRE(read("<s>\n<pad>\n</s>\n<unk>\n<mask>\n", roberta).sep_id() == 2);
}

TEST_CASE("what is no vocabulary is named with its line") {
  require_refused(kRoles + "a\nb\na\n", "line 8: 'a' comes twice, first as line 6");
  require_refused(kRoles + "\nb\n", "line 6: is empty, expected a token");
  require_refused(kRoles + "a\xFF\n", "line 6: token is not valid UTF-8 at its byte 1");
  require_refused("", "has no token '[UNK]'");
  require_refused("[PAD]\n[UNK]\n[CLS]\n[SEP]\n", "has no token '[MASK]'");
  require_refused("[PAD]\n[UNK]\n[CLS]\n[MASK]\n", "has no token '[SEP]'");
  require_refused("[PAD]\n[UNK]\n[SEP]\n[MASK]\n", "has no token '[CLS]'");
  require_refused("[UNK]\n[CLS]\n[SEP]\n[MASK]\n", "has no token '[PAD]'");

  const auto of = [](std::vector<std::string> tokens) { return [tokens] { Vocabulary vocabulary(tokens); }; };
  require_error<ArgumentError>(of({"a", "b", "a"}), "vocabulary: token 2: 'a' comes twice, first as token 0");
  require_error<ArgumentError>(of({"a"}), "vocabulary: has no token '[UNK]'");
  require_error<ArgumentError>([&] { read(kRoles).id("x\n"); }, "vocabulary: has no token 'x\\x0a'");
  require_error<ArgumentError>([&] { read(kRoles).token(-1); }, "vocabulary: id is -1, expected one in [0, 5)");
}

TEST_CASE("a vocabulary goes to a file and comes back") {
  const std::string path = "text-vocabulary-test.txt";  // in the build tree, where tests run
  const Vocabulary vocabulary = read(kRoles + "the\n##s\n\u6771");
  vocabulary.save(path);
  REQUIRE(Vocabulary::load(path).tokens() == vocabulary.tokens());
  require_error<FileError>([&] { vocabulary.save("no-such-folder/v.txt"); },
                           "write: no-such-folder/v.txt: No such file or directory");
  require_error<FileError>([] { Vocabulary::load("no-such.txt"); },
                           "vocabulary: no-such.txt: No such file or directory");
  require_error<FileError>([] { Vocabulary::load("."); }, "vocabulary: . is a directory, expected a file");
  auto tokens = vocabulary.tokens();
  tokens.push_back("a\nb");
  require_error<ArgumentError>([&] { Vocabulary(tokens).save(path); },
                               "vocabulary: token 'a\\x0ab' does not fit on a line of a file");
}

TEST_CASE("a vocabulary that cannot be written whole leaves the one that was there, and nothing else") {
  const Folder folder;
  const std::string path = (folder / "vocab.txt").string();
  read(kRoles + "old").save(path);
  REQUIRE(folder.count() == 1);
  const Vocabulary longer = read(kRoles + "new\nand\nlonger");
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // so that a write beyond the limit is an error
  const rlimit few{8, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &few);
  std::string message;
  try {
    longer.save(path);
  } catch (const FileError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  REQUIRE(message == "write: " + path + ": File too large");
  REQUIRE(read_file(path) == kRoles + "old\n");
  REQUIRE(folder.count() == 1);
  longer.save(path);
  REQUIRE(read_file(path) == kRoles + "new\nand\nlonger\n");
  REQUIRE(folder.count() == 1);
}
