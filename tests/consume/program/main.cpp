#include "attention.hpp"

int main() { return attention_runs() ? 0 : 1; }
