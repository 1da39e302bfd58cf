#pragma once
/// Work on every element of a model's weights, shared out evenly.

#include <algorithm>
#include <vector>

#include "lion/core/executor.hpp"

namespace lion::train {

/// f(i, first, n) for elements first … first + n of parameter i (a pointer to a nn::Parameter), until all are done:
/// runs of one length, since a tenth of the parameters holds most of the elements.
template <class Parameters, class F>
void for_each_run(const Parameters& parameters, const Executor& executor, F&& f) {
  constexpr Index kRun = Index(1) << 16;
  std::vector<Index> ends;  // [parameters], of their runs
  Index runs = 0;
  for (const auto* p : parameters) ends.push_back(runs += (p->size() + kRun - 1) / kRun);
  executor.for_each_task(runs, [&](Index run, Index) {
    const auto i = static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), run) - ends.begin());
    const Index first = (run - (i > 0 ? ends[i - 1] : 0)) * kRun;
    f(i, first, (std::min)(kRun, parameters[i]->size() - first));
  });
}

}  // namespace lion::train
