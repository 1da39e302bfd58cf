// BERT's tokenizer against Hugging Face's (fixtures of make_fixtures.py), and what the fixtures cannot say.

#include "lion/text/tokenizer.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::text;

namespace {

std::string data(const std::string& name) { return std::string(LION_TEST_DATA_DIR) + "/text/data/" + name; }

Vocabulary small_vocabulary(std::vector<std::string> more) {
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  tokens.insert(tokens.end(), more.begin(), more.end());
  return Vocabulary(tokens);
}

std::vector<std::string> texts_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> texts;
  for (const Token& token : tokenizer.tokenize(text)) texts.push_back(tokenizer.vocabulary().token(token.id));
  return texts;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("ids, types, offsets, truncation and decoding are those of Hugging Face's tokenizers") {
  const auto [name, config] = GENERATE(table<std::string, BasicTokenizerConfig>(
      {{"uncased", BasicTokenizerConfig{}},
       {"cased", BasicTokenizerConfig::cased()},
       {"accents", BasicTokenizerConfig{.lower_case = true, .strip_accents = false}},
       {"plain", BasicTokenizerConfig{.lower_case = false, .strip_accents = true, .tokenize_chinese_chars = false}}}));
  const Tokenizer tokenizer(Vocabulary::load(data(name + ".vocab.txt")), {.basic = config});
  std::ifstream file(data(name + ".jsonl"));
  int calls = 0;
  for (std::string line; std::getline(file, line); ++calls) {
    const auto call = nlohmann::json::parse(line);
    INFO(name << ": " << line);
    const std::string text = call["text"], pair = call.value("pair", "");
    const EncodeOptions options{.max_length = call.value("max_length", EncodeOptions{}.max_length)};
    const Encoding encoding =
        call.contains("pair") ? tokenizer.encode_pair(text, pair, options) : tokenizer.encode(text, options);
    REQUIRE(encoding.ids == call["ids"].get<std::vector<Index>>());
    REQUIRE(encoding.type_ids == call["type_ids"].get<std::vector<Index>>());

    const auto in_first = character_offsets(
        text, std::span(encoding.offsets).first(static_cast<std::size_t>(std::ranges::count(encoding.type_ids, 0))));
    const auto in_second = character_offsets(pair, std::span(encoding.offsets).subspan(in_first.size()));
    std::vector<Index> offsets;
    for (const auto* part : {&in_first, &in_second}) {
      for (const auto& [begin, end] : *part) offsets.insert(offsets.end(), {begin, end});
    }
    REQUIRE(offsets == call["offsets"].get<std::vector<Index>>());
    std::vector<int> mask(encoding.special_tokens_mask.begin(), encoding.special_tokens_mask.end());
    REQUIRE(mask == call["special_tokens_mask"].get<std::vector<int>>());
    REQUIRE(tokenizer.decode(encoding.ids) == call["decoded"].get<std::string>());
    REQUIRE(tokenizer.decode(encoding.ids, false) == call["decoded_whole"].get<std::string>());
  }
  REQUIRE(calls >= 100);
}

TEST_CASE("the example of BERT's repository") {
  const Tokenizer tokenizer(
      small_vocabulary({"un", "##aff", "##able", "##ing", "run", "want", "##want", "##ed", "wa", ","}));
  REQUIRE(texts_of(tokenizer, "UNwant\u00E9d,running") == Texts{"un", "##want", "##ed", ",", "[UNK]"});
  REQUIRE(texts_of(tokenizer, "unaffable") == Texts{"un", "##aff", "##able"});
}

TEST_CASE("offsets are bytes of the text as it was given") {
  const Tokenizer tokenizer(small_vocabulary({"e", "##e", "a", "東"}));
  const std::string text = "\u00E9E\u0301 [MASK]\u200B 東a";  // é E ́ blank [MASK] (dropped) blank 東 a
  const auto tokens = tokenizer.tokenize(text);
  const auto& v = tokenizer.vocabulary();
  REQUIRE(tokens == std::vector<Token>{{v.id("e"), {0, 2}},
                                       {v.id("##e"), {2, 3}},
                                       {v.mask_id(), {6, 12}},
                                       {v.id("東"), {16, 19}},
                                       {v.id("a"), {19, 20}}});
  const std::vector<Offsets> bytes{{0, 2}, {2, 3}, {6, 12}, {16, 19}, {20, 20}};
  REQUIRE(character_offsets(text, bytes) == std::vector<Offsets>{{0, 1}, {1, 2}, {4, 10}, {12, 13}, {14, 14}});
}

TEST_CASE("bytes that are not UTF-8 are dropped, whatever they are") {
  const Tokenizer tokenizer(small_vocabulary({"ab", "a", "b"}));
  // A lone continuation, an overlong slash, a surrogate, beyond U+10FFFF, a character cut off.
  for (const std::string bad : {"\x80", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE6\x9D", "\xFF"}) {
    const auto tokens = tokenizer.tokenize("a" + bad + "b");
    const Index end = static_cast<Index>(bad.size()) + 2;
    REQUIRE(tokens == std::vector<Token>{{tokenizer.vocabulary().id("ab"), {0, end}}});
    REQUIRE(character_offsets("a" + bad + "b", std::vector<Offsets>{{0, end}}) == std::vector<Offsets>{{0, end}});
  }
  REQUIRE(tokenizer.tokenize("\xE6\x9D").empty());
  REQUIRE(texts_of(tokenizer, "a \xC3") == Texts{"a"});
}

TEST_CASE("never_split words are found as they stand, the longest of those that begin at one place") {
  const auto vocabulary = small_vocabulary({"x", "<E>", "<E>s", "e", "<", ">"});
  const Tokenizer tokenizer(vocabulary, {.never_split = {"<E>", "<E>s"}});
  REQUIRE(texts_of(tokenizer, "x<E>x<E>s<e>") == Texts{"x", "<E>", "x", "<E>s", "<", "e", ">"});
  const std::vector<Index> ids{tokenizer.vocabulary().id("<E>"), tokenizer.vocabulary().mask_id()};
  REQUIRE(tokenizer.decode(ids) == "<E>");
  require_error<ArgumentError>([&] { Tokenizer(vocabulary, {.never_split = {"<F>"}}); },
                               "tokenizer: never_split has '<F>', expected tokens of the vocabulary");
  require_error<ArgumentError>([&] { BasicTokenizer({}, {""}); }, "tokenizer: never_split has an empty word");
}

TEST_CASE("words of more characters than allowed are [UNK]") {
  const Tokenizer tokenizer(small_vocabulary({"a", "##a"}), {.max_input_chars_per_word = 3});
  REQUIRE(texts_of(tokenizer, "aaa \u00E0aa aaaa") == Texts{"a", "##a", "##a", "a", "##a", "##a", "[UNK]"});
  REQUIRE(tokenizer.tokenize("aaaa").front().offsets == Offsets{0, 4});
}

TEST_CASE("truncation leaves room for what is added, and says so where there is none") {
  const Tokenizer tokenizer(small_vocabulary({"a", "b"}));
  const auto& v = tokenizer.vocabulary();
  REQUIRE(tokenizer.encode("a a a", {.max_length = 2}).ids == std::vector<Index>{v.cls_id(), v.sep_id()});
  REQUIRE(tokenizer.encode("a a a", {.max_length = 2, .add_special_tokens = false}).ids ==
          std::vector<Index>{v.id("a"), v.id("a")});
  REQUIRE(tokenizer.encode_pair("a", "b b b b", {.max_length = 6}).ids ==
          std::vector<Index>{v.cls_id(), v.id("a"), v.sep_id(), v.id("b"), v.id("b"), v.sep_id()});
  require_error<ArgumentError>([&] { tokenizer.encode("a", {.max_length = 1}); },
                               "tokenizer: max_length is 1, expected at least 2");
  require_error<ArgumentError>([&] { tokenizer.encode_pair("a", "b", {.max_length = 2}); },
                               "tokenizer: max_length is 2, expected at least 3");
  const Index size = v.size();
  require_error<ArgumentError>(
      [&] {
        tokenizer.decode(std::vector<Index>{0, size});
      },
      "vocabulary: id is 7, expected one in [0, 7)");
}

TEST_CASE("every character has its place: offsets grow, and lie in the text") {
  const Tokenizer tokenizer(small_vocabulary({"a", "##b"}));
  std::string text;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    encode(c, text);
    if (c % 7 == 0) text += ' ';
  }
  const auto tokens = tokenizer.tokenize(text);
  REQUIRE(tokens.size() > 100000);
  Index last = 0;
  bool right = true;
  for (const auto& [id, offsets] : tokens) {
    // Characters made of one share its place.
    right = right && last <= offsets.begin && offsets.begin < offsets.end;
    last = offsets.begin;
  }
  REQUIRE(right);
  REQUIRE(tokens.back().offsets.end <= static_cast<Index>(text.size()));
}
