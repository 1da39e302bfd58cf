#include <lion/io/safetensors.hpp>
#include <string>

#include "attention.hpp"

// Links lion::io: a file that is not there is an error that names it.
int main() {
  try {
    (void)lion::io::SafetensorsFile::open("no-such.safetensors");
  } catch (const lion::FileError& error) {
    const bool named = std::string(error.what()).find("no-such.safetensors") != std::string::npos;
    return named && attention_runs() ? 0 : 1;
  }
  return 1;
}
