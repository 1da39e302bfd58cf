#pragma once
/// The novel as token ids.

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "lion/core/error.hpp"
#include "lion/text/tokenizer.hpp"
#include "lion/text/word_piece_trainer.hpp"
#include "lion/train/masking.hpp"

namespace lion::examples::novel {

/// The chapters of Pride and Prejudice from this on, 6 of 61, are held out.
inline constexpr Index kFirstTestChapter = 56;

/// The chapters of a text, without their headings: lines "Chapter N". What stands before the first is passed over, and
/// so are the underscores that mark emphasis. Throws FileError if the file cannot be read or has no chapter
/// `first_test`.
struct Novel {
  std::vector<std::string> train, test;

  Novel(const std::string& path, Index first_test) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw FileError("cannot open " + path);
    Index chapter = 0;
    for (std::string line; std::getline(file, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line == "Chapter " + std::to_string(chapter + 1)) {
        ++chapter;
        (chapter < first_test ? train : test).emplace_back();
      } else if (chapter > 0) {
        std::erase(line, '_');
        (chapter < first_test ? train : test).back() += line + "\n";
      }
    }
    if (test.empty()) {
      throw FileError(path + " has " + std::to_string(chapter) +
                      " chapters (lines 'Chapter 1', 'Chapter 2', …), expected at least " + std::to_string(first_test));
    }
  }
};

/// The chapters in tokens of a vocabulary learnt from those to train on.
struct Corpus {
  text::Tokenizer tokenizer;
  train::TokenDocuments train, test;

  Corpus(const Novel& novel, text::Vocabulary vocabulary)
      : tokenizer(std::move(vocabulary)), train(tokens_of(novel.train)), test(tokens_of(novel.test)) {}

  Index vocab_size() const { return tokenizer.vocabulary().size(); }

  train::SequenceFormat format() const {
    const text::Vocabulary& v = tokenizer.vocabulary();
    return {.first = v.cls_id(), .last = v.sep_id(), .padding = v.pad_id()};
  }

  train::Masking masking(double rate, std::uint64_t seed) const {
    const text::Vocabulary& v = tokenizer.vocabulary();
    return train::Masking({.vocab_size = v.size(),
                           .mask_id = v.mask_id(),
                           .special_ids = {v.unk_id(), v.cls_id(), v.sep_id(), v.pad_id()},
                           .rate = rate},
                          seed);
  }

 private:
  train::TokenDocuments tokens_of(const std::vector<std::string>& chapters) const {
    train::TokenDocuments documents;
    std::vector<Index> ids;
    for (const std::string& chapter : chapters) {
      ids.clear();
      for (const text::Token& token : tokenizer.tokenize(chapter)) ids.push_back(token.id);
      documents.add(ids);
    }
    return documents;
  }
};

}  // namespace lion::examples::novel
