#pragma once
/// The command `lion_vision train`.

namespace lion::examples {

/// Runs it; argv[0] is the word train. Returns the exit code.
int train_command(int argc, char** argv);

}  // namespace lion::examples
