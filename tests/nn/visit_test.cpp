#include "lion/visit.hpp"

#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;

TEST_CASE("names become types") {
  for (const char* mask : {"linear", "decay", "selective"}) {
    for (const char* form : {"full", "rnn", "chunk", "auto"}) {
      for (const char* normaliser : {"row_sum", "none"}) {
        for (const char* direction : {"both", "forward", "backward"}) {
          const AttentionConfig config{mask, form, 17, normaliser, 0.5, direction};
          const bool same = visit(config, [&](auto m, auto f, auto n, auto d) {
            if constexpr (std::same_as<decltype(f), form::Chunk>) REQUIRE(f.size == 17);
            if constexpr (std::same_as<decltype(n), normalise::RowSum>) REQUIRE(n.epsilon == 0.5);
            return m.name == mask && f.name == form && n.name == normaliser && d.name == direction;
          });
          REQUIRE(same);
        }
      }
    }
  }
}

TEST_CASE("a form that is chosen at run time") {
  REQUIRE(form_name(parse_form("rnn")) == "rnn");
  REQUIRE(std::get<form::Chunk>(parse_form("chunk", 9)).size == 9);
  REQUIRE(form_name(form::Any()) == "auto");
}

TEST_CASE("unknown names are answered with the known ones") {
  const auto with = [](auto change) {
    return [change] {
      AttentionConfig config;
      change(config);
      visit(config, [](auto...) {});
    };
  };
  require_error<ArgumentError>(with([](AttentionConfig& c) { c.mask = "Decay"; }),
                               "visit: mask is 'Decay', expected one of linear, decay, selective");
  require_error<ArgumentError>(with([](AttentionConfig& c) { c.form = ""; }),
                               "visit: form is '', expected one of full, rnn, chunk, auto");
  require_error<ArgumentError>(with([](AttentionConfig& c) { c.normaliser = "softmax"; }),
                               "visit: normaliser is 'softmax', expected one of row_sum, none");
  require_error<ArgumentError>(with([](AttentionConfig& c) { c.direction = "up"; }),
                               "visit: direction is 'up', expected one of both, forward, backward");
  require_error<ArgumentError>(with([](AttentionConfig& c) { c.chunk_size = 0; }),
                               "visit: chunk_size is 0, expected at least 1");
}
