#pragma once
/// How far a long run is.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include "lion/core/scalar.hpp"

namespace lion::examples {

/// A bar that is redrawn in place on a terminal, and a line at every tenth elsewhere. On standard error, so that
/// standard output holds the results alone.
class Progress {
 public:
  Progress(std::string title, Index total)
      : title_(std::move(title)), total_(total < 1 ? 1 : total), terminal_(::isatty(STDERR_FILENO) == 1) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() {
    if (terminal_ && drawn_) std::fputc('\n', stderr);
  }

  void advance(Index steps, const std::string& note) {
    done_ += steps;
    const Clock::time_point now = Clock::now();
    if (terminal_) {
      if (done_ < total_ && drawn_ && now - last_ < std::chrono::milliseconds(100)) return;
      constexpr Index kWidth = 30;
      const auto filled = static_cast<std::size_t>(kWidth * done_ / total_);
      const std::string bar = std::string(filled, '#') + std::string(static_cast<std::size_t>(kWidth) - filled, '.');
      std::fprintf(stderr, "\r%s [%s] %3ld%%  %s  %s\033[K", title_.c_str(), bar.c_str(), percent(), left(now).c_str(),
                   note.c_str());
      std::fflush(stderr);
    } else {
      if (10 * done_ / total_ == tenth_) return;
      tenth_ = 10 * done_ / total_;
      std::fprintf(stderr, "%s %3ld%%  %s  %s\n", title_.c_str(), percent(), left(now).c_str(), note.c_str());
    }
    drawn_ = true;
    last_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;

  long percent() const { return static_cast<long>(100 * done_ / total_); }

  std::string left(Clock::time_point now) const {
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    const double rest = elapsed * static_cast<double>(total_ - done_) / static_cast<double>(done_ < 1 ? 1 : done_);
    return done_ < total_ ? std::to_string(static_cast<long>(rest + 0.5)) + " s left"
                          : std::to_string(static_cast<long>(elapsed + 0.5)) + " s";
  }

  std::string title_;
  Index total_, done_ = 0, tenth_ = 0;
  bool terminal_, drawn_ = false;
  Clock::time_point start_ = Clock::now(), last_ = start_;
};

}  // namespace lion::examples
