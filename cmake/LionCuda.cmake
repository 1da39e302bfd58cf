# The CUDA compiler: where CMake looks for it, and where the toolkit is installed.

find_program(LION_NVCC nvcc HINTS /usr/local/cuda/bin)
mark_as_advanced(LION_NVCC)

if(LION_CUDA)
  include(CheckLanguage)
  if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND LION_NVCC)
    set(CMAKE_CUDA_COMPILER "${LION_NVCC}")
  endif()
  if(NOT DEFINED CMAKE_CUDA_COMPILER)
    check_language(CUDA)
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "LION_CUDA is ON, but no CUDA compiler was found: install the CUDA Toolkit (12 or later), name "
                        "its nvcc in CMAKE_CUDA_COMPILER, or turn LION_CUDA off.")
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80) # PTX for it runs on every later GPU
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit 12 REQUIRED GLOBAL)
endif()
