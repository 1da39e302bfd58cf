# Each dependency is found where it is installed, and fetched only if it is not (LION_FETCH_DEPENDENCIES).
#
# What is fetched is used as headers only, behind an imported target of the name that find_package would have given:
# its own build is not run, and our exported targets name it as if it had been found.

include(FetchContent)

# Stops with one sentence where `package` may not be fetched.
function(lion_may_fetch package debian_package)
  if(NOT LION_FETCH_DEPENDENCIES)
    message(FATAL_ERROR "lion: ${package} was not found and LION_FETCH_DEPENDENCIES is OFF: "
                        "install it (Debian: ${debian_package}).")
  endif()
  message(STATUS "lion: ${package} was not found (Debian: ${debian_package}); fetching it")
endfunction()

# Populates `name` without running its build. Sets ${name}_SOURCE_DIR in the caller.
macro(lion_fetch_sources name)
  FetchContent_Declare(${name} ${ARGN} SOURCE_SUBDIR lion-does-not-run-this-build)
  FetchContent_MakeAvailable(${name})
endmacro()

function(lion_header_target target directory)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${directory}"
                                             INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${directory}")
endfunction()

# Eigen 3.4 or later. Its own version file knows one major version only, so 3.4 and 5 are told apart here.
if(NOT TARGET Eigen3::Eigen)
  find_package(Eigen3 CONFIG QUIET GLOBAL)
  if(TARGET Eigen3::Eigen AND Eigen3_VERSION VERSION_LESS 3.4)
    message(FATAL_ERROR "lion: found Eigen ${Eigen3_VERSION} in ${Eigen3_DIR}, expected 3.4 or later.")
  endif()
endif()
if(NOT TARGET Eigen3::Eigen)
  lion_may_fetch(Eigen libeigen3-dev)
  lion_fetch_sources(
    eigen
    GIT_REPOSITORY https://gitlab.com/libeigen/eigen.git
    GIT_TAG 3.4.0
    GIT_SHALLOW ON)
  lion_header_target(Eigen3::Eigen "${eigen_SOURCE_DIR}")
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

if(LION_IO AND NOT TARGET nlohmann_json::nlohmann_json)
  find_package(nlohmann_json 3.10 CONFIG QUIET GLOBAL)
  if(NOT TARGET nlohmann_json::nlohmann_json)
    lion_may_fetch(nlohmann_json nlohmann-json3-dev)
    lion_fetch_sources(
      nlohmann_json
      GIT_REPOSITORY https://github.com/nlohmann/json.git
      GIT_TAG v3.11.3
      GIT_SHALLOW ON)
    lion_header_target(nlohmann_json::nlohmann_json "${nlohmann_json_SOURCE_DIR}/single_include")
  endif()
endif()

if(LION_TEXT)
  include(LionFindUtf8proc)
  lion_find_utf8proc()
  if(NOT TARGET utf8proc::utf8proc)
    lion_may_fetch(utf8proc libutf8proc-dev)
    lion_fetch_sources(
      utf8proc
      GIT_REPOSITORY https://github.com/JuliaStrings/utf8proc.git
      GIT_TAG v2.9.0
      GIT_SHALLOW ON)
    # One source file; the only dependency here that is compiled.
    enable_language(C)
    add_library(lion_fetched_utf8proc STATIC EXCLUDE_FROM_ALL "${utf8proc_SOURCE_DIR}/utf8proc.c")
    target_include_directories(lion_fetched_utf8proc SYSTEM PUBLIC "${utf8proc_SOURCE_DIR}")
    target_compile_definitions(lion_fetched_utf8proc PUBLIC UTF8PROC_STATIC)
    set_target_properties(lion_fetched_utf8proc PROPERTIES POSITION_INDEPENDENT_CODE ON)
    add_library(utf8proc::utf8proc INTERFACE IMPORTED GLOBAL)
    target_link_libraries(utf8proc::utf8proc INTERFACE lion_fetched_utf8proc)
  endif()
endif()

# The image decoder, <stb/stb_image.h>. It has no CMake package of its own.
if(LION_IMAGE AND NOT TARGET stb::stb)
  find_path(LION_STB_INCLUDE_DIR stb/stb_image.h)
  mark_as_advanced(LION_STB_INCLUDE_DIR)
  if(NOT LION_STB_INCLUDE_DIR)
    message(FATAL_ERROR "lion: <stb/stb_image.h> was not found, and its authors tag no release that could be "
                        "fetched: install libstb-dev, or turn LION_IMAGE off.")
  endif()
  lion_header_target(stb::stb "${LION_STB_INCLUDE_DIR}")
endif()

if(LION_BLAS)
  find_package(BLAS)
  if(NOT TARGET BLAS::BLAS)
    message(FATAL_ERROR "lion: LION_BLAS is ON, but no BLAS was found: install one (Debian: libopenblas-dev), say which in "
                        "BLA_VENDOR, or turn LION_BLAS off.")
  endif()
endif()

# Catch2 2.13 or 3: gives the target lion_catch, with a main.
macro(lion_require_catch2)
  find_package(Catch2 CONFIG QUIET)
  if(NOT Catch2_FOUND)
    lion_may_fetch(Catch2 catch2)
    FetchContent_Declare(
      Catch2
      GIT_REPOSITORY https://github.com/catchorg/Catch2.git
      GIT_TAG v3.5.4
      GIT_SHALLOW ON)
    FetchContent_MakeAvailable(Catch2)
  endif()
endmacro()

macro(lion_require_benchmark)
  find_package(benchmark CONFIG QUIET)
  if(NOT benchmark_FOUND)
    lion_may_fetch("Google Benchmark" libbenchmark-dev)
    set(BENCHMARK_ENABLE_TESTING OFF CACHE BOOL "" FORCE)
    set(BENCHMARK_ENABLE_INSTALL OFF CACHE BOOL "" FORCE)
    FetchContent_Declare(
      benchmark
      GIT_REPOSITORY https://github.com/google/benchmark.git
      GIT_TAG v1.8.3
      GIT_SHALLOW ON)
    FetchContent_MakeAvailable(benchmark)
  endif()
endmacro()

# The examples' command line: CLI11::CLI11.
macro(lion_require_cli11)
  find_package(CLI11 CONFIG QUIET)
  if(NOT TARGET CLI11::CLI11)
    lion_may_fetch(CLI11 libcli11-dev)
    lion_fetch_sources(
      cli11
      GIT_REPOSITORY https://github.com/CLIUtils/CLI11.git
      GIT_TAG v2.3.2
      GIT_SHALLOW ON)
    lion_header_target(CLI11::CLI11 "${cli11_SOURCE_DIR}/include")
  endif()
endmacro()
