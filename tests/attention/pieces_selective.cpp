#include "attention/pieces.hpp"

TEST_CASE("any split of a sequence gives the answer of the whole, selective mask") {
  lion::test::require_pieces_of_every_kind<lion::mask::Selective>();
}
