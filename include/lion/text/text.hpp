#pragma once
/// Everything of lion::text.

#include "lion/text/basic_tokenizer.hpp"
#include "lion/text/documents.hpp"
#include "lion/text/glue.hpp"
#include "lion/text/tokenizer.hpp"
#include "lion/text/vocabulary.hpp"
#include "lion/text/word_piece.hpp"
#include "lion/text/word_piece_trainer.hpp"
