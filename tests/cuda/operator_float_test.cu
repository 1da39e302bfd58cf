// The tests of the operator's kernels in float, on the GPU.

#include "simt/operator_float.cpp"
