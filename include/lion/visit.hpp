#pragma once
/// From names in files and flags to types, once per layer: nothing below knows names.

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "lion/core/error.hpp"
#include "lion/direction/direction.hpp"
#include "lion/form/form.hpp"
#include "lion/mask/decay.hpp"
#include "lion/mask/linear.hpp"
#include "lion/mask/selective.hpp"
#include "lion/normalise/normalise.hpp"

namespace lion {

namespace form {
/// A form that is chosen at run time.
using Any = std::variant<Auto, Full, Rnn, Chunk>;
}  // namespace form

/// The choices of an attention by name.
struct AttentionConfig {
  std::string mask = "linear";         ///< linear, decay, selective
  std::string form = "auto";           ///< full, rnn, chunk, auto
  Index chunk_size = 64;               ///< of form chunk, at least 1
  std::string normaliser = "row_sum";  ///< row_sum, none
  double epsilon = 1e-6;               ///< of normaliser row_sum
  std::string direction = "both";      ///< both, forward, backward
};

namespace detail {
/// Calls f with that of the choices whose name is `name`; throws ArgumentError with all of them if there is none.
template <class F, class... Choices>
decltype(auto) visit_named(const char* what, std::string_view name, F&& f, Choices... choices) {
  using Choice = std::variant<Choices...>;
  const std::array<Choice, sizeof...(Choices)> all{Choice(choices)...};
  std::string allowed;
  for (const Choice& choice : all) {
    const std::string_view known = std::visit([](const auto& c) { return std::string_view(c.name); }, choice);
    if (known == name) return std::visit(std::forward<F>(f), choice);
    allowed += (allowed.empty() ? "" : ", ") + std::string(known);
  }
  throw ArgumentError(std::string("visit: ") + what + " is '" + std::string(name) + "', expected one of " + allowed);
}
}  // namespace detail

/// f(mask::Linear{}), f(mask::Decay{}) or f(mask::Selective{}), by name.
template <class F>
decltype(auto) visit_mask(std::string_view name, F&& f) {
  return detail::visit_named("mask", name, std::forward<F>(f), mask::Linear{}, mask::Decay{}, mask::Selective{});
}

/// f(form::Full{}), f(form::Rnn{}), f(form::Chunk{chunk_size}) or f(form::Auto{}), by name.
template <class F>
decltype(auto) visit_form(std::string_view name, Index chunk_size, F&& f) {
  if (chunk_size < 1) {
    throw ArgumentError("visit: chunk_size is " + std::to_string(chunk_size) + ", expected at least 1");
  }
  return detail::visit_named("form", name, std::forward<F>(f), form::Full{}, form::Rnn{}, form::Chunk{chunk_size},
                             form::Auto{});
}

/// f(normalise::RowSum{epsilon}) or f(normalise::None{}), by name.
template <class F>
decltype(auto) visit_normaliser(std::string_view name, double epsilon, F&& f) {
  return detail::visit_named("normaliser", name, std::forward<F>(f), normalise::RowSum{epsilon}, normalise::None{});
}

/// f(direction::Both{}), f(direction::Forward{}) or f(direction::Backward{}), by name.
template <class F>
decltype(auto) visit_direction(std::string_view name, F&& f) {
  return detail::visit_named("direction", name, std::forward<F>(f), direction::Both{}, direction::Forward{},
                             direction::Backward{});
}

/// f(mask, form, normaliser, direction) with the values that the names stand for. An unknown name is an ArgumentError
/// that lists the known ones. f is compiled for each of the 72 combinations: where some choice is fixed, use the
/// visits of the others.
template <class F>
decltype(auto) visit(const AttentionConfig& config, F&& f) {
  return visit_mask(config.mask, [&](auto mask) {
    return visit_form(config.form, config.chunk_size, [&](auto form) {
      return visit_normaliser(config.normaliser, config.epsilon, [&](auto normaliser) {
        return visit_direction(config.direction, [&](auto direction) { return f(mask, form, normaliser, direction); });
      });
    });
  });
}

/// The form of this name, as a value.
inline form::Any parse_form(std::string_view name, Index chunk_size = 64) {
  return visit_form(name, chunk_size, [](auto form) { return form::Any(form); });
}

inline std::string_view form_name(const form::Any& form) {
  return std::visit([](const auto& f) { return std::string_view(f.name); }, form);
}

}  // namespace lion
