// Any bytes as what lion::text reads; the first byte says as what. Files are refused with a FileError or read whole;
// text is always text.

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "lion/io/json_lines.hpp"
#include "lion/text/text.hpp"

namespace {

using lion::Index;
using namespace lion::text;

void require(bool condition) {
  if (!condition) std::abort();
}

Vocabulary small_vocabulary() {
  return Vocabulary({"[PAD]", "[UNK]", "[CLS]",  "[SEP]",  "[MASK]", "a", "b", "ab",     "##a",      "##b",     "##ab",
                     "e",     "##e",   "\u0301", "\u6771", "[",      "]", ".", "\u1112", "##\u1161", "##\u11AB"});
}

void read_text(const Tokenizer& tokenizer, std::string_view text) {
  const auto encoding = tokenizer.encode(text);
  Index last = 0;
  for (Index i = 1; i + 1 < encoding.size(); ++i) {
    const auto [begin, end] = encoding.offsets[static_cast<std::size_t>(i)];
    require(last <= begin && begin < end && end <= static_cast<Index>(text.size()));
    last = begin;
  }
  const auto characters = character_offsets(text, encoding.offsets);
  for (std::size_t i = 0; i < characters.size(); ++i) {
    require(characters[i].begin <= encoding.offsets[i].begin && characters[i].end <= encoding.offsets[i].end);
  }
  require(lion::find_invalid_utf8(tokenizer.decode(encoding.ids, false)) == std::string::npos);

  // Bytes that are not UTF-8 might as well not be there.
  std::string well_formed;
  for (std::size_t at = 0; at < text.size();) {
    const auto [c, length] = lion::text::decode(text.substr(at));
    if (c != kReplacementCharacter) encode(c, well_formed);
    at += length;
  }
  require(lion::find_invalid_utf8(well_formed) == std::string::npos);
  if (well_formed.find("[") == std::string::npos) {  // or a special token could come to be
    require(tokenizer.encode(well_formed).ids == encoding.ids);
  }
  const auto cut = tokenizer.encode_pair(text, well_formed, {.max_length = 9});
  require(cut.size() <= 9);
}

void learn(std::string_view text) {
  try {
    const auto vocabulary = train_word_piece(std::vector{text}, {.vocab_size = 100, .min_frequency = 1});
    require(vocabulary.size() <= 100);
    // Every word was made of the alphabet.
    const Tokenizer tokenizer(vocabulary);
    const auto special = vocabulary.special().all();
    BasicTokenizer({}, {special.begin(), special.end()}).words(text, [&](const Word& word) {
      if (word.never_split || word.characters > 100) return;
      const auto tokens = tokenizer.tokenize(word.text);
      require(!tokens.empty() && tokens.front().id != vocabulary.unk_id());
    });
  } catch (const lion::ArgumentError&) {  // more characters than tokens
  }
}

void read_vocabulary(const std::string& text) {
  std::istringstream stream(text);
  const auto vocabulary = Vocabulary::read(stream, "fuzz");
  std::string written;
  for (const std::string& token : vocabulary.tokens()) written += token + "\n";
  std::istringstream again(written);
  bool same = true;
  for (const std::string& token : vocabulary.tokens()) same = same && token.back() != '\r';
  if (same) require(Vocabulary::read(again, "fuzz").tokens() == vocabulary.tokens());
  Tokenizer(vocabulary).encode(text);
}

void read_glue_file(lion::GlueTask task, const std::string& text, bool skip) {
  std::istringstream stream(text);
  const auto data = read_glue(task, stream, "fuzz", {.skip_malformed_rows = skip});
  require(skip || data.skipped == 0);
  const auto& info = lion::glue_task(task);
  for (const auto& example : data.examples) {
    require(example.label < info.classes());
    require((example.label >= 0) == (data.labelled && !info.is_regression()));
    require((example.score >= 0 && example.score <= 5) == (data.labelled && info.is_regression()));
  }
}

template <class Documents>
void read_documents(const std::string& text) {
  std::istringstream stream(text);
  Documents documents(stream, "fuzz");
  for (std::string document; documents.next(document);) require(document.size() <= text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer uncased(small_vocabulary());
  static const Tokenizer cased(small_vocabulary(), {.basic = BasicTokenizerConfig::cased()});
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0]) {
      case 'u':
        read_text(uncased, text);
        break;
      case 'c':
        read_text(cased, text);
        break;
      case 't':
        learn(text);
        break;
      case 'v':
        read_vocabulary(text);
        break;
      case 'p':
        read_documents<Paragraphs>(text);
        break;
      case 'j':
        read_documents<lion::io::JsonLines>(text);
        break;
      default:  // '0' … '8' and, with rows left out, 'A' … 'I'
        if (data[0] >= '0' && data[0] <= '8') {
          read_glue_file(static_cast<lion::GlueTask>(data[0] - '0'), text, false);
        } else if (data[0] >= 'A' && data[0] <= 'I') {
          read_glue_file(static_cast<lion::GlueTask>(data[0] - 'A'), text, true);
        }
    }
  } catch (const lion::FileError&) {
  }
  return 0;
}
