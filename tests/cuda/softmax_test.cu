// The tests of softmax attention's kernels, on the GPU.

#include "simt/softmax.cpp"
