// Names that <complex.h> and <windows.h> take for themselves. What is not ours is included before them: it need not
// bear them.
#include "foreign.hpp"

#define I (__extension__ 1.0iF)
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define small char

#include "everything.hpp"
