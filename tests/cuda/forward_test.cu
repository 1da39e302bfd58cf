// The tests of the emulated forward kernels, on the GPU.

#include "simt/forward_float.cpp"
#include "simt/forward_short.cpp"
