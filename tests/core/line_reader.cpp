// Lines of files, and names for what cannot be read.

#include "lion/core/line_reader.hpp"

#include <sstream>
#include <string>
#include <vector>

#include "lion/core/message.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;

TEST_CASE("lines come without their ends, and are counted") {
  std::istringstream stream("a\nb\r\n\nc\r\r\nd");
  LineReader lines("read", stream, "stream");
  std::vector<std::string> all;
  for (std::string line; lines.next(line);) {
    all.push_back(line);
    REQUIRE(lines.number() == static_cast<Index>(all.size()));
  }
  REQUIRE(all == std::vector<std::string>{"a", "b", "", "c\r", "d"});
  require_error<FileError>([&] { lines.fail("is odd"); }, "read: stream line 5: is odd");
  require_error<FileError>([&] { lines.fail_file("is odd"); }, "read: stream is odd");
}

TEST_CASE("what cannot be opened or read is named") {
  require_error<FileError>([] { LineReader("read", "no-such"); }, "read: no-such: No such file or directory");
  require_error<FileError>([] { LineReader("read", "."); }, "read: . is a directory, expected a file");

  struct Broken : std::stringbuf {
    using std::stringbuf::stringbuf;
    int_type underflow() override { throw 1; }
  };
  Broken buffer("");
  std::istream stream(&buffer);
  LineReader lines("read", stream, "pipe");
  std::string line;
  require_error<FileError>([&] { lines.next(line); }, "read: pipe cannot be read after line 0");
}

TEST_CASE("names in quotes are fit to print") {
  REQUIRE(in_quotes("a\n\x7F") == "'a\\x0a\\x7f'");
  REQUIRE(in_quotes(std::string(199, 'a') + "\u00E9") == "'" + std::string(199, 'a') + "…'");
}
