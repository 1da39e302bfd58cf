#include "lion_vision/image.hpp"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <system_error>

#include "lion/core/error.hpp"

#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNM
#define STBI_NO_STDIO
#include <stb/stb_image.h>

namespace lion::examples {

Picture read_picture(const std::string& path, Index channels) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError("image: " + path + ": " + std::generic_category().message(errno));
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty()) throw FileError("image: " + path + " is empty or cannot be read");
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw FileError("image: " + path + " has more than 2 GiB");
  }
  int width = 0, height = 0, stored = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> decoded(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()), static_cast<int>(bytes.size()), &width,
                            &height, &stored, static_cast<int>(channels)),
      stbi_image_free);
  if (!decoded) {
    throw FileError("image: " + path + " is no PNG, JPEG or PNM image that can be decoded: " + stbi_failure_reason());
  }
  Picture picture{height, width, channels, {}};
  const auto size = static_cast<std::size_t>(picture.height * picture.width * channels);
  picture.pixels.reserve(size);
  for (std::size_t i = 0; i < size; ++i) picture.pixels.push_back(static_cast<float>(decoded.get()[i]) / 255.0f);
  return picture;
}

}  // namespace lion::examples
