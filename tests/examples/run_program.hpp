#pragma once
/// Programs of examples/, run as a user runs them.

// Whether the programs, built as this test is, run under the address sanitizer: many times as long.
#if defined(__SANITIZE_ADDRESS__)
#define LION_TEST_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LION_TEST_SANITIZED
#endif
#endif

#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

/// How a program ended and what it said.
struct Ran {
  int code = -1;  ///< exit code, or -1 if it did not exit by itself
  std::string out, err;
};

/// A word for the shell that means `text`, whatever is in it.
inline std::string shell_word(const std::string& text) {
  std::string word = "'";
  for (char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Runs a program with these arguments and no input. `scratch` names files of the test, in its working directory.
inline Ran run_program(const std::string& program, const std::vector<std::string>& arguments,
                       const std::string& scratch) {
  std::string command = shell_word(program);
  for (const std::string& argument : arguments) command += " " + shell_word(argument);
  command += " </dev/null >" + shell_word(scratch + ".out") + " 2>" + shell_word(scratch + ".err");
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(scratch + ".out"), read_text(scratch + ".err")};
}
