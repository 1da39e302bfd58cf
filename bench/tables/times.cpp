#include "tables/times.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <exception>
#include <iostream>

#include "common/progress.hpp"
#include "lion/core/error.hpp"

namespace lion::bench {
namespace {

/// Wall time, and that of all the process's threads.
struct Clock {
  double wall = 0, cpu = 0;

  static Clock now() {
    timespec cpu{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return {std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(),
            static_cast<double>(cpu.tv_sec) + 1e-9 * static_cast<double>(cpu.tv_nsec)};
  }
};

Clock time_of(TrainingStep& step, const Executor& executor) {
  const Clock start = Clock::now();
  step.run(executor);
  const Clock end = Clock::now();
  return {end.wall - start.wall, end.cpu - start.cpu};
}

/// The largest resident memory of a process that makes the model and takes a step. A process of its own, because what
/// one has held before would count; to be called before this one has threads.
std::int64_t peak_memory(const Row& row, Index threads) {
  std::cout.flush();
  const pid_t child = ::fork();
  if (child == 0) {
    int status = 1;
    try {
      ThreadPool pool(threads);
      row.make()->run(pool);
      status = 0;
    } catch (const std::exception& error) {
      std::cerr << row.name << ": " << error.what() << '\n';
    }
    ::_exit(status);
  }
  int status = 0;
  rusage usage{};
  pid_t ended = -1;
  while (child > 0 && (ended = ::wait4(child, &status, 0, &usage)) < 0 && errno == EINTR) {
  }
  if (ended != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw Error(row.name + ": a step in a process of its own failed; is there enough memory?");
  }
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

Json spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return {{"median", (values[(n - 1) / 2] + values[n / 2]) / 2}, {"min", values.front()}, {"max", values.back()}};
}

/// The values of one member of all clocks.
std::vector<double> all(const std::vector<Clock>& clocks, double Clock::*member) {
  std::vector<double> values;
  for (const Clock& clock : clocks) values.push_back(clock.*member);
  return values;
}

}  // namespace

Json measure_times(const std::string& title, const std::vector<Row>& rows, const Settings& settings) {
  const Index rounds = settings.timed_rounds(), pairs = static_cast<Index>(rows.size()) - 1;
  examples::Progress progress(title, static_cast<Index>(rows.size()) + pairs * 2 * (rounds + 1));
  std::vector<std::int64_t> memory;
  for (const Row& row : rows) {
    memory.push_back(peak_memory(row, settings.threads));
    progress.advance(1, row.name);
  }

  ThreadPool pool(settings.threads);
  const std::unique_ptr<TrainingStep> first = rows.front().make();
  std::vector<Clock> of_first;
  Json models = Json::array();
  const auto entry = [&](std::size_t i, Index parameters, const std::vector<Clock>& seconds) {
    models.push_back({{"name", rows[i].name},
                      {"parameters", parameters},
                      {"peak_memory_bytes", memory[i]},
                      {"seconds", spread(all(seconds, &Clock::wall))},
                      {"paper_ratio", rows[i].paper_ratio}});
  };
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const std::unique_ptr<TrainingStep> other = rows[i].make();
    std::vector<Clock> seconds, ratios;
    for (Index round = 0; round <= rounds; ++round) {
      const bool first_leads = round % 2 == 0;
      const Clock one = time_of(first_leads ? *first : *other, pool);
      const Clock two = time_of(first_leads ? *other : *first, pool);
      progress.advance(2, rows[i].name);
      if (round == 0) continue;  // it also makes the memory
      const Clock &a = first_leads ? one : two, &b = first_leads ? two : one;
      of_first.push_back(a);
      seconds.push_back(b);
      ratios.push_back({b.wall / a.wall, b.cpu / a.cpu});
    }
    entry(i, other->parameters(), seconds);
    models.back()["ratio"] = spread(all(ratios, &Clock::wall));
    models.back()["cpu_ratio"] = spread(all(ratios, &Clock::cpu));
  }
  entry(0, first->parameters(), of_first);
  models.back()["ratio"] = models.back()["cpu_ratio"] = spread({1.0});
  std::rotate(models.begin(), models.end() - 1, models.end());
  return models;
}

}  // namespace lion::bench
