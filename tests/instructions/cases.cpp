/// One call of the case that the command line names, counted by callgrind alone: `cases NAME`, `cases` lists them.

#include <valgrind/callgrind.h>

#include <cstring>
#include <iostream>

#include "lion/lion.hpp"
#include "operator_case.hpp"

namespace {

using namespace lion;

template <class M, class F>
void run(bool backward) {
  bench::Data<float> data(2, 500);
  Attention<M, F> attention;
  const AttentionInputs<float> in{data.q, data.k, data.v};
  Workspace workspace;
  const auto call = [&] {
    if (backward) {
      attention.backward(in, bench::parameters(data, M{}), {data.dy, data.y, data.row_sum}, {data.dq, data.dk, data.dv},
                         bench::gradients(data, M{}), workspace);
    } else {
      attention.forward(in, bench::parameters(data, M{}), {data.y, data.row_sum}, workspace);
    }
  };
  attention.forward(in, bench::parameters(data, M{}), {data.y, data.row_sum}, workspace);
  call();  // scratch has grown
  CALLGRIND_TOGGLE_COLLECT;
  call();
  CALLGRIND_TOGGLE_COLLECT;
}

struct Case {
  const char* name;
  void (*run)(bool);
  bool backward;
};
constexpr Case kCases[] = {{"linear_chunk", run<mask::Linear, form::Chunk>, false},
                           {"decay_chunk", run<mask::Decay, form::Chunk>, false},
                           {"decay_rnn", run<mask::Decay, form::Rnn>, false},
                           {"selective_full", run<mask::Selective, form::Full>, false},
                           {"decay_chunk_backward", run<mask::Decay, form::Chunk>, true},
                           {"selective_chunk_backward", run<mask::Selective, form::Chunk>, true}};

}  // namespace

int main(int argc, char** argv) {
  for (const Case& c : kCases) {
    if (argc < 2) std::cout << c.name << '\n';
    if (argc == 2 && std::strcmp(argv[1], c.name) == 0) return c.run(c.backward), 0;
  }
  return argc < 2 ? 0 : 1;
}
