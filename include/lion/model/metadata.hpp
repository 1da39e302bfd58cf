#pragma once
/// Reading and writing a model's configuration as the metadata of its file, and the checks that models share. Every
/// error is an ArgumentError that begins with the model's name and names the key.

#include <charconv>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"

namespace lion::model {

/// Names to values, as in the header of a safetensors file. Booleans are True or False.
using Metadata = std::map<std::string, std::string, std::less<>>;

namespace detail {

[[noreturn]] inline void bad_config(std::string_view model, std::string_view key, std::string_view value,
                                    std::string_view expected) {
  std::string message(model);
  message.append(": ").append(key).append(" is ").append(value).append(", expected ").append(expected);
  throw ArgumentError(message);
}

/// "a, b, c".
inline std::string listed(std::initializer_list<std::string_view> names) {
  std::string all;
  for (const std::string_view name : names) all.append(all.empty() ? "" : ", ").append(name);
  return all;
}

template <class T>
bool from_text(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}
inline bool from_text(const std::string& text, bool& value) {
  value = text == "True";
  return value || text == "False";
}
inline bool from_text(const std::string& text, std::string& value) {
  value = text;
  return true;
}

inline const char* kind_of(Index) { return "a whole number"; }
inline const char* kind_of(std::uint64_t) { return "a whole number of at least 0"; }
inline const char* kind_of(double) { return "a number"; }
inline const char* kind_of(bool) { return "True or False"; }
inline const char* kind_of(const std::string&) { return "a text"; }

template <class T>
void read_value(std::string_view model, std::string_view key, const std::string& text, T& value) {
  if (!from_text(text, value)) bad_config(model, key, "'" + text + "'", kind_of(value));
}

inline std::string written(Index value) { return std::to_string(value); }
inline std::string written(std::uint64_t value) { return std::to_string(value); }
inline std::string written(bool value) { return value ? "True" : "False"; }
inline std::string written(const std::string& value) { return value; }
inline std::string written(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);  // shortest that reads back the same
}

/// Fills the members of a configuration from their keys, passing over keys that are of no member.
/// `Config::for_each_key(config, f)` calls f(key, member, required).
template <class Config>
void read_config(std::string_view model, const Metadata& metadata, Config& config) {
  Config::for_each_key(config, [&](std::string_view key, auto& member, bool required) {
    const auto at = metadata.find(key);
    if (at != metadata.end()) {
      read_value(model, key, at->second, member);
    } else if (required) {
      throw ArgumentError(std::string(model) + ": " + std::string(key) + " is missing from the metadata");
    }
  });
}

/// The members of a configuration under their keys.
template <class Config>
void write_config(const Config& config, Metadata& metadata) {
  Config::for_each_key(config, [&](const char* key, const auto& member, bool) { metadata[key] = written(member); });
}

/// The key `kind`, where there is one, is this.
inline void require_kind(std::string_view model, const Metadata& metadata, std::string_view kind) {
  const auto at = metadata.find("kind");
  if (at != metadata.end() && at->second != kind) bad_config(model, "kind", "'" + at->second + "'", kind);
}

/// A key that means nothing to this kind of model is absent or says so: it has no effect that it could promise.
inline void require_none(std::string_view model, const Metadata& metadata, std::string_view key, std::string_view none,
                         const std::string& kind) {
  const auto at = metadata.find(key);
  if (at == metadata.end() || at->second == none) return;
  bad_config(model, key, "'" + at->second + "'", std::string(none) + " or no such key for " + kind);
}

inline void require_positive(std::string_view model, std::string_view key, Index value) {
  if (value < 1) bad_config(model, key, std::to_string(value), "at least 1");
}

/// A rate of dropout.
inline void require_rate(std::string_view model, std::string_view key, double value) {
  if (!(value >= 0 && value < 1)) bad_config(model, key, written(value), "a value in [0, 1)");
}

inline void require_one_of(std::string_view model, std::string_view key, const std::string& value,
                           std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (value == name) return;
  }
  bad_config(model, key, "'" + value + "'", "one of " + listed(names));
}

/// The keys `form` and `chunk_size`.
inline void require_form(std::string_view model, const std::string& form, Index chunk_size) {
  require_one_of(model, "form", form, {"full", "rnn", "chunk", "auto"});
  require_positive(model, "chunk_size", chunk_size);
}

/// Heads that share a width evenly.
inline void require_divisor(std::string_view model, std::string_view key, Index value, std::string_view of,
                            Index whole) {
  if (whole % value == 0) return;
  bad_config(model, key, std::to_string(value), "a divisor of " + std::string(of) + " " + std::to_string(whole));
}

}  // namespace detail
}  // namespace lion::model
