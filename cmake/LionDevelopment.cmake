# Flags of lion's own programs (tests, examples, benchmarks). None of these reaches a consumer of lion::lion.

if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(LION_CCACHE ccache)
  mark_as_advanced(LION_CCACHE)
  if(LION_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${LION_CCACHE}")
  endif()
endif()

add_library(lion_development INTERFACE)
target_compile_options(lion_development INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 takes its own AVX-512 intrinsics for uses of uninitialised memory (GCC bug 105593).
  target_compile_options(lion_development INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
if(LION_WERROR)
  target_compile_options(lion_development INTERFACE -Werror)
endif()
if(LION_NATIVE)
  target_compile_options(lion_development INTERFACE -march=native)
endif()
if(LION_SANITIZE)
  # Frames stay for readable reports, and anything reported ends the program.
  target_compile_options(lion_development INTERFACE "-fsanitize=${LION_SANITIZE}" -fno-sanitize-recover=all
                                                    -fno-omit-frame-pointer)
  target_link_options(lion_development INTERFACE "-fsanitize=${LION_SANITIZE}")
endif()

# All of these are for the C++ compiler. nvcc has fewer warnings, and hands on what is for its host compiler.
get_target_property(cxx_options lion_development INTERFACE_COMPILE_OPTIONS)
set_property(TARGET lion_development PROPERTY INTERFACE_COMPILE_OPTIONS "$<$<COMPILE_LANGUAGE:CXX>:${cxx_options}>")
set(cuda_options -Xcompiler=-Wall,-Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 takes a string before another for one that overlaps it (GCC bug 105651).
  list(APPEND cuda_options -Xcompiler=-Wno-restrict)
endif()
if(LION_WERROR)
  list(APPEND cuda_options -Werror=all-warnings)
endif()
if(LION_NATIVE)
  list(APPEND cuda_options -Xcompiler=-march=native)
endif()
target_compile_options(lion_development INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_options}>")

# The kernels of the operator, of linear layers and of models, compiled once for all of our programs. Not where there are
# few: fuzz targets, and what is built for another machine.
set(lion_kernels "")
if(NOT LION_FUZZ AND NOT CMAKE_CROSSCOMPILING)
  set(sources "")
  foreach(scalar IN ITEMS float double)
    foreach(kernels IN ITEMS "products|nn/kernels.hpp|LION_INSTANTIATE_PRODUCTS(${scalar})"
                             "scans|nn/scan_kernels.hpp|LION_INSTANTIATE_SCANS(${scalar})"
                             "vision|model/vision.hpp|template class lion::model::Vision<${scalar}>$<SEMICOLON>"
                             "vision_head|model/vision.hpp|template class lion::model::VisionHead<${scalar}>$<SEMICOLON>"
                             "text|model/text_encoder.hpp|template class lion::model::TextEncoder<${scalar}>$<SEMICOLON>")
      string(REPLACE "|" ";" kernels "${kernels}")
      list(GET kernels 0 name)
      list(GET kernels 1 header)
      list(GET kernels 2 line)
      string(REPLACE "$<SEMICOLON>" ";" line "${line}")
      set(source "${PROJECT_BINARY_DIR}/kernels/${scalar}_${name}.cpp")
      file(CONFIGURE OUTPUT "${source}" CONTENT "#include <lion/${header}>\n\n${line}\n")
      list(APPEND sources "${source}")
    endforeach()
    foreach(mask IN ITEMS Linear Decay Selective)
      set(source "${PROJECT_BINARY_DIR}/kernels/${scalar}_${mask}.cpp")
      file(CONFIGURE OUTPUT "${source}" CONTENT
           "#include <lion/cpu/kernels.hpp>\n\nLION_INSTANTIATE_KERNELS(${scalar}, lion::mask::${mask})\n")
      list(APPEND sources "${source}")
    endforeach()
  endforeach()
  add_library(lion_kernels STATIC EXCLUDE_FROM_ALL ${sources})
  set_target_properties(lion_kernels PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_definitions(lion_kernels PUBLIC LION_EXTERN_KERNELS)
  target_link_libraries(lion_kernels PUBLIC lion::lion PRIVATE lion_development)
  set(lion_kernels lion_kernels)
endif()

# Sets ${result} to whether a program is spared LION_PROGRAM_FLAGS, as those are whose own files, not lion_kernels, do the
# work: ALWAYS, or UNSANITIZED where under sanitizers it would take longer to compile than it then runs sooner.
function(lion_optimised result when)
  if(when AND NOT when MATCHES "^(ALWAYS|UNSANITIZED)$")
    message(FATAL_ERROR "OPTIMISED is ${when}, expected ALWAYS or UNSANITIZED")
  endif()
  if(when STREQUAL "ALWAYS" OR (when STREQUAL "UNSANITIZED" AND NOT LION_SANITIZE))
    set(${result} TRUE PARENT_SCOPE)
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

# lion_program(NAME SOURCES … LIBRARIES … [OPTIMISED ALWAYS|UNSANITIZED]): an executable under the flags above, and under
# those of LION_PROGRAM_FLAGS unless it is optimised.
function(lion_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "OPTIMISED" "SOURCES;LIBRARIES")
  if(arg_UNPARSED_ARGUMENTS OR arg_KEYWORDS_MISSING_VALUES OR NOT arg_SOURCES)
    message(FATAL_ERROR "lion_program(${name} SOURCES … [LIBRARIES …] [OPTIMISED …]) has ${ARGN}")
  endif()
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF)
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} ${lion_kernels} lion_development)
  lion_optimised(optimised "${arg_OPTIMISED}")
  if(NOT optimised)
    separate_arguments(flags UNIX_COMMAND "${LION_PROGRAM_FLAGS}")
    target_compile_options(${name} PRIVATE ${flags})
  endif()
endfunction()
