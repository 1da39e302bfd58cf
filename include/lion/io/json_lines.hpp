#pragma once
/// Texts from files of one JSON object a line.

#include <filesystem>
#include <istream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "lion/core/line_reader.hpp"
#include "lion/core/message.hpp"

namespace lion::io {

/// The texts in one field of each object, as C4 and its like have them: {"text": "…", "url": "…"}. One line is in
/// memory at a time; blank lines are passed over. A text::DocumentSource.
class JsonLines {
 public:
  /// Throws FileError if the file cannot be opened.
  explicit JsonLines(const std::filesystem::path& path, std::string field = "text")
      : lines_("json_lines", path), field_(std::move(field)) {}
  /// Reads on from where a stream stands (a pipe from a decompressor, say); it must outlive the reader.
  JsonLines(std::istream& stream, std::string name, std::string field = "text")
      : lines_("json_lines", stream, std::move(name)), field_(std::move(field)) {}

  /// Puts the next object's text into `text`; false at the end of the file. Throws FileError that names the file and
  /// the line if the line is no JSON object or has no such string.
  bool next(std::string& text) {
    do {
      if (!lines_.next(line_)) return false;
    } while (line_.find_first_not_of(" \t\r") == std::string::npos);
    nlohmann::json object;
    try {
      object = nlohmann::json::parse(line_);
    } catch (const nlohmann::json::parse_error& error) {
      lines_.fail("is not valid JSON at its byte " + std::to_string(error.byte));
    } catch (const nlohmann::json::exception&) {  // a number beyond double's range
      lines_.fail("is not JSON that can be read: a number in it is too large");
    }
    if (!object.is_object()) lines_.fail(std::string("is ") + with_article(object) + ", expected an object");
    const auto found = object.find(field_);
    if (found == object.end()) lines_.fail("has no field " + in_quotes(field_));
    if (!found->is_string()) {
      lines_.fail("field " + in_quotes(field_) + " is " + with_article(*found) + ", expected a string");
    }
    text = std::move(found->get_ref<std::string&>());
    return true;
  }

 private:
  static std::string with_article(const nlohmann::json& value) {
    if (value.is_null()) return "null";
    const std::string name = value.type_name();
    return (name == "array" || name == "object" ? "an " : "a ") + name;
  }

  LineReader lines_;
  std::string field_, line_;
};

}  // namespace lion::io
