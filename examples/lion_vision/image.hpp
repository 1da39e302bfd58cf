#pragma once
/// Pictures from files.

#include <string>
#include <vector>

#include "lion/core/scalar.hpp"

namespace lion::examples {

struct Picture {
  Index height = 0, width = 0, channels = 0;
  std::vector<float> pixels;  ///< [height,width,channels], in [0, 1]
};

/// Reads a PNG, JPEG or PNM (PPM, PGM) file as grey (1 channel) or colour (3), whichever it is stored as; transparency
/// is dropped. Throws FileError that names the file.
Picture read_picture(const std::string& path, Index channels);

}  // namespace lion::examples
