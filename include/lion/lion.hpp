#pragma once
/// Everything for the CPU.

#include "lion/attention.hpp"
#include "lion/cpu/attention.hpp"
#include "lion/mask/decay.hpp"
#include "lion/mask/linear.hpp"
#include "lion/mask/selective.hpp"
