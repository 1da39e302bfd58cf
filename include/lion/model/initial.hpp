#pragma once

namespace lion::model {

/// What a new model's weights are: drawn, to be trained; or zero, to be read from a file.
enum class Initial { drawn, zero };

}  // namespace lion::model
