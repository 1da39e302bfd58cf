#include "lion/lion.hpp"

#ifdef RIGHT
using Direction = lion::direction::Forward;
#else
struct Direction {};
#endif

lion::Attention<lion::mask::Decay, lion::form::Chunk, lion::backend::Cpu, lion::normalise::RowSum, Direction> attention;
