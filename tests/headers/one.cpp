// Everything, twice in one program: what is defined in a header and not inline would be defined twice.
#include "everything.hpp"

const void* registered_in_two();

int main() { return registered_in_two() == &lion::kAlignment ? 0 : 1; }
