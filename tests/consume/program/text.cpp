#include <lion/text/tokenizer.hpp>

// Links lion::text, and through it utf8proc: an accent is stripped.
int main() {
  const lion::text::Tokenizer tokenizer(
      lion::text::Vocabulary({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "caf", "##e"}));
  const auto ids = tokenizer.encode("Caf\u00E9").ids;
  return ids == std::vector<lion::Index>{2, 5, 6, 3} ? 0 : 1;
}
