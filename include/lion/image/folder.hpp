#pragma once
/// A data set of image files, one directory for each class.

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lion/image/decode.hpp"

namespace lion::image {

/// The files root/CLASS/….{png,jpg,jpeg,ppm,pgm} (either case, at any depth, links followed), as torchvision's
/// ImageFolder finds them: classes are the sorted names of root's directories, samples are sorted by class, then by the
/// text of the path of their directory, then by name.
/// Files elsewhere or with other endings are passed over. Images are decoded when they are asked for, by any number of
/// threads. Link lion::image.
class ImageFolder {
 public:
  /// `channels` 1 or 3. Throws FileError that names the directory if root is none, has no directories, or one of them
  /// has no images or cannot be listed.
  explicit ImageFolder(const std::filesystem::path& root, Index channels = 3) : channels_(channels) {
    namespace fs = std::filesystem;
    if (channels != 1 && channels != 3) {
      throw ArgumentError("image folder: channels is " + std::to_string(channels) + ", expected 1 or 3");
    }
    std::error_code error;
    if (!fs::is_directory(root, error)) throw FileError("image folder: " + root.string() + " is no directory");
    std::vector<fs::path> directories;
    for_each_entry<fs::directory_iterator>(root, [&](const fs::directory_entry& entry) {
      std::error_code ignored;
      if (entry.is_directory(ignored)) directories.push_back(entry.path());
    });
    if (directories.empty()) {
      throw FileError("image folder: " + root.string() + " has no directories, expected one for each class");
    }
    std::sort(directories.begin(), directories.end());
    for (const fs::path& directory : directories) {
      const std::size_t first = paths_.size();
      for_each_entry<fs::recursive_directory_iterator>(directory, [&](const fs::directory_entry& entry) {
        std::error_code ignored;
        if (is_image(entry.path()) && entry.is_regular_file(ignored)) paths_.push_back(entry.path());
      });
      if (paths_.size() == first) {
        throw FileError("image folder: " + directory.string() +
                        " has no images, expected files that end in .png, .jpg, .jpeg, .ppm or .pgm");
      }
      std::sort(paths_.begin() + static_cast<std::ptrdiff_t>(first), paths_.end(),
                [](const fs::path& a, const fs::path& b) { return place_of(a) < place_of(b); });
      labels_.resize(paths_.size(), static_cast<Index>(names_.size()));
      names_.push_back(directory.filename().string());
    }
  }

  Index size() const { return static_cast<Index>(paths_.size()); }
  Index classes() const { return static_cast<Index>(names_.size()); }
  /// Of the classes, sorted.
  const std::vector<std::string>& names() const { return names_; }
  const std::filesystem::path& path(Index i) const { return paths_[static_cast<std::size_t>(i)]; }
  Index label(Index i) const { return labels_[static_cast<std::size_t>(i)]; }
  /// Decodes image i. Throws FileError that names the file.
  Image image(Index i) const { return read_image(path(i), channels_); }

 private:
  static bool is_image(const std::filesystem::path& path) {
    std::string ending = path.extension().string();
    for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    constexpr std::array<const char*, 5> kEndings{".png", ".jpg", ".jpeg", ".ppm", ".pgm"};
    return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
  }

  using Text = std::basic_string_view<std::filesystem::path::value_type>;

  /// The directory and the name in it.
  static std::pair<Text, Text> place_of(const std::filesystem::path& path) {
    const Text text = path.native();
    const std::size_t end = text.rfind(std::filesystem::path::preferred_separator);
    return {text.substr(0, end), text.substr(end + 1)};
  }

  template <class Iterator, class F>
  static void for_each_entry(const std::filesystem::path& directory, F&& f) {
    std::error_code error;
    Iterator at(directory, std::filesystem::directory_options::follow_directory_symlink, error);
    for (; !error && at != Iterator(); at.increment(error)) f(*at);
    if (error) {
      throw FileError("image folder: " + directory.string() + " cannot be listed: " + error.message());
    }
  }

  Index channels_;
  std::vector<std::string> names_;
  std::vector<std::filesystem::path> paths_;
  std::vector<Index> labels_;
};

}  // namespace lion::image
