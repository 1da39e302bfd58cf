#pragma once
/// Checks of what is thrown, to the letter.

#include <exception>
#include <string>
#include <typeinfo>

#include "support/catch.hpp"

/// Requires that f() throws exactly an E (not a class derived from it) whose message is `message`.
template <class E, class F>
void require_error(F&& f, const std::string& message) {
  try {
    f();
  } catch (const std::exception& error) {
    INFO("thrown: " << error.what());
    REQUIRE(std::string(typeid(error).name()) == typeid(E).name());
    REQUIRE(std::string(error.what()) == message);
    return;
  }
  FAIL("nothing was thrown, expected: " << message);
}
