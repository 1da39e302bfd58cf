#pragma once
/// The one place the version is written; CMake reads it from here.

#define LION_VERSION_MAJOR 0
#define LION_VERSION_MINOR 1
#define LION_VERSION_PATCH 0
