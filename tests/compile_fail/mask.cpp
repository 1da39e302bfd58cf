#include "lion/lion.hpp"

#ifdef RIGHT
using Mask = lion::mask::Decay;
#else
struct Mask {};
#endif

lion::Attention<Mask> attention;
