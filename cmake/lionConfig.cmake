# find_package(lion [version] [COMPONENTS io text image blas cuda]): lion::lion always, lion::COMPONENT for each component asked for.
# The same file serves the build tree and an install: the targets lie beside it.

include(CMakeFindDependencyMacro)

set(lion_known_components io text image blas cuda)

foreach(component IN LISTS lion_FIND_COMPONENTS)
  set(lion_${component}_FOUND FALSE)
  set(lion_reason "")
  if(NOT component IN_LIST lion_known_components)
    list(JOIN lion_known_components ", " lion_known)
    set(lion_reason "lion has no component \"${component}\", expected one of: ${lion_known}.")
  elseif(NOT EXISTS "${CMAKE_CURRENT_LIST_DIR}/lion_${component}Targets.cmake")
    string(TOUPPER "${component}" lion_option)
    set(lion_reason "lion was built without its component \"${component}\": build it with LION_${lion_option}=ON.")
  endif()
  if(lion_reason)
    if(lion_FIND_REQUIRED_${component})
      set(lion_FOUND FALSE)
      set(lion_NOT_FOUND_MESSAGE "${lion_reason}")
      return()
    endif()
  else()
    set(lion_${component}_FOUND TRUE)
  endif()
endforeach()

# Eigen's version file knows one major version only, so 3.4 and 5 are told apart here.
if(NOT TARGET Eigen3::Eigen)
  find_dependency(Eigen3 CONFIG)
  if(Eigen3_VERSION VERSION_LESS 3.4)
    set(lion_FOUND FALSE)
    set(lion_NOT_FOUND_MESSAGE "lion needs Eigen 3.4 or later, found ${Eigen3_VERSION} in ${Eigen3_DIR}.")
    return()
  endif()
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
include("${CMAKE_CURRENT_LIST_DIR}/lionTargets.cmake")

# lion_component(NAME TARGET needs): lion::NAME, if there is TARGET, which it links; else NAME is not found, and a
# consumer that requires it is told what it needs.
macro(lion_component name target needs)
  if(TARGET ${target})
    include("${CMAKE_CURRENT_LIST_DIR}/lion_${name}Targets.cmake")
  else()
    set(lion_${name}_FOUND FALSE)
    if(lion_FIND_REQUIRED_${name})
      set(lion_FOUND FALSE)
      set(lion_NOT_FOUND_MESSAGE "lion's component \"${name}\" needs ${needs}.")
    endif()
  endif()
endmacro()

if(lion_io_FOUND)
  if(NOT TARGET nlohmann_json::nlohmann_json)
    find_package(nlohmann_json 3.10 CONFIG QUIET)
  endif()
  lion_component(io nlohmann_json::nlohmann_json
                 "nlohmann_json 3.10, which was not found: install it (Debian: nlohmann-json3-dev)")
endif()

if(lion_image_FOUND)
  if(NOT TARGET stb::stb)
    find_path(LION_STB_INCLUDE_DIR stb/stb_image.h)
    mark_as_advanced(LION_STB_INCLUDE_DIR)
    if(LION_STB_INCLUDE_DIR)
      add_library(stb::stb INTERFACE IMPORTED)
      set_target_properties(stb::stb PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${LION_STB_INCLUDE_DIR}"
                                                INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${LION_STB_INCLUDE_DIR}")
    endif()
  endif()
  lion_component(image stb::stb "<stb/stb_image.h>, which was not found: install it (Debian: libstb-dev)")
endif()

if(lion_blas_FOUND)
  if(NOT TARGET BLAS::BLAS)
    find_package(BLAS QUIET)
  endif()
  lion_component(blas BLAS::BLAS
                 "a BLAS, which was not found: install one (Debian: libopenblas-dev), or say which in BLA_VENDOR")
endif()

if(lion_cuda_FOUND)
  if(NOT TARGET CUDA::cudart)
    find_package(CUDAToolkit 12 QUIET)
  endif()
  lion_component(cuda CUDA::cudart
    "the CUDA Toolkit (12 or later), which was not found: install it, or say where it is in CUDAToolkit_ROOT")
endif()

if(lion_text_FOUND)
  include("${CMAKE_CURRENT_LIST_DIR}/LionFindUtf8proc.cmake")
  lion_find_utf8proc()
  lion_component(text utf8proc::utf8proc "utf8proc, which was not found: install it (Debian: libutf8proc-dev)")
endif()
