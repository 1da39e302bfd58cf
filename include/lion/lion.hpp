#pragma once
/// The operator on the CPU, with what goes around it: masks, feature maps, orders, segments, and names for choices made
/// at run time. Models and layers are lion/model/vision.hpp and lion/nn, training lion/train/train.hpp, files lion/io.

#include "lion/attention.hpp"
#include "lion/cpu/attention.hpp"
#include "lion/feature/feature.hpp"
#include "lion/feature/identity.hpp"
#include "lion/feature/normalised_shifted_silu.hpp"
#include "lion/feature/shifted_elu.hpp"
#include "lion/mask/decay.hpp"
#include "lion/mask/linear.hpp"
#include "lion/mask/selective.hpp"
#include "lion/order/curves.hpp"
#include "lion/order/permutation.hpp"
#include "lion/segment.hpp"
#include "lion/visit.hpp"
