#include <string>

#include "lion/lion.hpp"

#ifdef RIGHT
using T = float;
#else
using T = std::string;
#endif

lion::Tensor<T, 2> tensor;
