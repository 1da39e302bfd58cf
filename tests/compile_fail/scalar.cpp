#include "lion/lion.hpp"

#ifdef RIGHT
using T = lion::bfloat16;
#else
using T = int;
#endif

lion::AttentionInputs<T> inputs;
