#include "lion/lion.hpp"

#ifdef RIGHT
using Normaliser = lion::normalise::None;
#else
struct Normaliser {};
#endif

lion::Attention<lion::mask::Decay, lion::form::Chunk, lion::backend::Cpu, Normaliser> attention;
