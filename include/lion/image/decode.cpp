// The decoder behind lion/image/decode.hpp. The target lion::image compiles this file into whatever links it; without
// CMake, compile it once yourself.

#include "lion/image/decode.hpp"

#include <algorithm>
#include <memory>

// Everything of stb's stays in this file, so that it does not meet another copy of it in your program.
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 65535
#include <stb/stb_image.h>

namespace lion::image::detail {

// Weak: a program and an object library of its own may both have brought it.
[[gnu::weak]] Image decode_stb(std::span<const std::byte> bytes, Index channels, const std::string& name) {
  const auto* data = reinterpret_cast<const stbi_uc*>(bytes.data());
  const auto size = static_cast<int>((std::min)(bytes.size(), std::size_t{0x7fffffff}));
  const auto fail = [&] {
    const char* reason = stbi_failure_reason();
    throw FileError("image: " + name +
                    " is no PNG, JPEG, PPM or PGM image that can be decoded: " + (reason ? reason : "no reason known"));
  };
  // Newer versions of stb take what is missing at the end of a JPEG for grey. Whole data ends after its last scan
  // begins.
  const auto last_marker = [&](unsigned char code) {
    const unsigned char marker[] = {0xff, code};
    return std::find_end(data, data + size, marker, marker + 2) - data;
  };
  if (size > 2 && data[0] == 0xff && data[1] == 0xd8 && last_marker(0xda) < size &&
      (last_marker(0xd9) == size || last_marker(0xd9) < last_marker(0xda))) {
    throw FileError("image: " + name + " is cut short: its JPEG data has no end");
  }
  int width = 0, height = 0, stored = 0;
  if (!stbi_info_from_memory(data, size, &width, &height, &stored)) {
    // Only the decoder proper knows why: it does not get further than the header.
    stbi_image_free(stbi_load_from_memory(data, size, &width, &height, &stored, static_cast<int>(channels)));
    fail();
  }
  require_image_size<FileError>("image: " + name, height, width);
  const bool weigh = channels == 1 && stored >= 3;  // here rather than by stb, which has other weights
  const std::unique_ptr<stbi_uc, void (*)(void*)> decoded(
      stbi_load_from_memory(data, size, &width, &height, &stored, weigh ? 3 : static_cast<int>(channels)),
      stbi_image_free);
  if (!decoded) fail();
  Image image({height, width, channels});
  if (!weigh) {
    std::copy_n(decoded.get(), image.size(), image.data());
  } else {
    const stbi_uc* from = decoded.get();
    for (Index p = 0; p < image.size(); ++p, from += 3) image.data()[p] = grey_of(from[0], from[1], from[2]);
  }
  return image;
}

}  // namespace lion::image::detail
