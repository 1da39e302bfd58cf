#include "lion/lion.hpp"

#ifdef RIGHT
using Backend = lion::backend::Cpu;
#else
using Backend = lion::backend::Cuda;
#endif

lion::Attention<lion::mask::Decay, lion::form::Chunk, Backend> attention;
