#pragma once
/// Everything a training loop needs.

#include "lion/train/accuracy.hpp"
#include "lion/train/adamw.hpp"
#include "lion/train/batches.hpp"
#include "lion/train/clip.hpp"
#include "lion/train/cross_entropy.hpp"
#include "lion/train/digits.hpp"
#include "lion/train/distillation.hpp"
#include "lion/train/ema.hpp"
#include "lion/train/masking.hpp"
#include "lion/train/mean_squared_error.hpp"
#include "lion/train/packing.hpp"
#include "lion/train/random.hpp"
#include "lion/train/schedule.hpp"
#include "lion/train/soft_cross_entropy.hpp"
#include "lion/train/teacher.hpp"
#include "lion/train/text_collator.hpp"
