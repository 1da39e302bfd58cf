#pragma once
/// Marks for code that host and device share; they vanish off nvcc.

#include "lion/core/version.hpp"

#if defined(__CUDACC__)
#define LION_HOST_DEVICE __host__ __device__
#define LION_DEVICE __device__
#else
#define LION_HOST_DEVICE
#define LION_DEVICE
#endif
