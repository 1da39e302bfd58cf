#pragma once
/// Images from files: PNG and JPEG through stb_image, PPM and PGM. Link lion::image, which brings the decoder
/// (lion/image/decode.cpp) into your program; nothing else in lion needs it.

#include <filesystem>
#include <span>
#include <string>

#include "lion/image/file.hpp"
#include "lion/image/pnm.hpp"

namespace lion::image {

namespace detail {
/// PNG or JPEG; defined in decode.cpp.
Image decode_stb(std::span<const std::byte> bytes, Index channels, const std::string& name);
}  // namespace detail

/// The image as 1 (grey) or 3 (colour) channels, whichever it is stored as: grey is repeated, colour becomes `grey_of`
/// it; transparency is dropped and 16 bits become 8. What it is is told by its first bytes. `name` stands for the file
/// in messages. Throws ArgumentError if channels is neither, FileError if the bytes are no image that can be decoded or
/// it has more than kMostPixels pixels.
inline Image decode(std::span<const std::byte> bytes, Index channels, const std::string& name) {
  if (channels != 1 && channels != 3) {
    throw ArgumentError("image: channels is " + std::to_string(channels) + ", expected 1 or 3");
  }
  return is_pnm(bytes) ? decode_pnm(bytes, channels, name) : detail::decode_stb(bytes, channels, name);
}

/// The same from a file.
inline Image read_image(const std::filesystem::path& path, Index channels) {
  return decode(read_bytes("image", path), channels, path.string());
}

}  // namespace lion::image
