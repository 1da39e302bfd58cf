// The tests of the text model's kernels, on the GPU.

#include "simt/text.cpp"
