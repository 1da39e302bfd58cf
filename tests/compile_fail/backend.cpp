#include "lion/lion.hpp"

#ifdef RIGHT
using Backend = lion::backend::Cpu;
#else
struct Backend {};
#endif

lion::Attention<lion::mask::Decay, lion::form::Chunk, Backend> attention;
