#include "lion/lion.hpp"

#ifdef RIGHT
using Form = lion::form::Chunk;
#else
struct Form {};
#endif

lion::Attention<lion::mask::Decay, Form> attention;
