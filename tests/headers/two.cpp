#include "everything.hpp"

const void* registered_in_two() { return &lion::kAlignment; }
