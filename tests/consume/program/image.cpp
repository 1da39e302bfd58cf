#include <lion/image/decode.hpp>
#include <string>

#include "attention.hpp"

// Links lion::image: bytes that are no image are an error of the decoder's.
int main() {
  try {
    (void)lion::image::decode({}, 3, "nothing");
  } catch (const lion::FileError& error) {
    const bool named = std::string(error.what()).find("nothing") != std::string::npos;
    return named && attention_runs() ? 0 : 1;
  }
  return 1;
}
