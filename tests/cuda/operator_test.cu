// The tests of the operator's kernels, on the GPU.

#include "simt/operator_float.cpp"
#include "simt/operator_short.cpp"
#include "simt/pieces.cpp"
