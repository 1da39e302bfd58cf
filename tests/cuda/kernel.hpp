#pragma once

#include "lion/cuda/launch.hpp"

/// Kernel as lion::cuda::Stream starts it, compiled.
#define LION_INSTANTIATE_KERNEL(...)                                                                     \
  template void lion::cuda::Stream::launch<__VA_ARGS__>(const char*, const lion::Shape<3>&, std::size_t, \
                                                        const __VA_ARGS__::Parameters&) const;
