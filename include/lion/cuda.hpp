#pragma once
/// The operator on the CPU and on the GPU: include it in a source that nvcc compiles and link lion::cuda.

#include "lion/cuda/attention.hpp"
#include "lion/lion.hpp"
