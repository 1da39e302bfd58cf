#pragma once
/// The report of a run: JSON, made of sections that may come from several runs, and Markdown tables from it.

#include <string>

#include "tables/sections.hpp"

namespace lion::bench {

/// What a section says, beginning with what measured it.
Json measured(const Section& section, const Settings& settings);

/// A report without sections.
Json empty_report();

/// Takes the sections of the report in a file, over those that are there already. Throws FileError unless it is a
/// report.
void merge_report(Json& report, const std::string& path);

/// A table per section.
std::string markdown(const Json& report);

/// Writes the whole file or leaves what was there.
void write_text(const std::string& path, const std::string& text);

}  // namespace lion::bench
