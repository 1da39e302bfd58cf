// The tests of the operator's kernels on tensor cores, on the GPU.

#include "simt/operator_short.cpp"
