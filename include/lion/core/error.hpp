#pragma once
/// What the library throws: every message names the operation, the argument, what was expected and what came.

#include <stdexcept>
#include <string>

namespace lion {

/// Base of everything the library throws on its own account.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An argument has a shape, stride or value that the operation cannot take.
struct ArgumentError : Error {
  using Error::Error;
};

/// A file is missing, unreadable or malformed, or could not be written.
struct FileError : Error {
  using Error::Error;
};

/// The combination is known but not available in this build.
struct UnavailableError : Error {
  using Error::Error;
};

}  // namespace lion
