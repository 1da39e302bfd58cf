// The tests of sequences in pieces, on the GPU.

#include "simt/pieces.cpp"
