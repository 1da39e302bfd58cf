# lion::lion and its siblings: what they need, how they are exported from the build tree, and how they are installed.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# A consumer that takes us in with add_subdirectory sees our headers as the system's: its warnings are its own.
set(lion_as_system "")
if(NOT PROJECT_IS_TOP_LEVEL)
  set(lion_as_system SYSTEM)
endif()

# lion_library(NAME libraries…): the header-only target lion::NAME. Each is an export of its own, so that
# find_package(lion) asks for the dependencies of the components it was asked for and of no other.
function(lion_library name)
  if(name STREQUAL "lion")
    set(target lion)
    set(export lionTargets)
  else()
    set(target lion_${name})
    set(export lion_${name}Targets)
  endif()
  add_library(${target} INTERFACE)
  add_library(lion::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(${target} INTERFACE cxx_std_20)
  target_include_directories(${target} ${lion_as_system} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
  target_link_libraries(${target} INTERFACE ${ARGN})
  if(LION_INSTALL)
    install(TARGETS ${target} EXPORT ${export} INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
    install(EXPORT ${export} NAMESPACE lion:: DESTINATION "${lion_config_dir}")
    export(EXPORT ${export} NAMESPACE lion:: FILE "${PROJECT_BINARY_DIR}/${export}.cmake")
  endif()
endfunction()

set(lion_config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/lion")

lion_library(lion Eigen3::Eigen Threads::Threads)
if(LION_IO)
  lion_library(io lion::lion nlohmann_json::nlohmann_json)
endif()
if(LION_TEXT)
  lion_library(text lion::lion utf8proc::utf8proc)
endif()
if(LION_IMAGE)
  lion_library(image lion::lion stb::stb)
  # The decoder is no header: whatever links lion::image compiles it.
  set(lion_decoder lion/image/decode.cpp)
  target_sources(
    lion_image INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include/${lion_decoder}>"
                         "$<INSTALL_INTERFACE:$<INSTALL_PREFIX>/${CMAKE_INSTALL_INCLUDEDIR}/${lion_decoder}>")
endif()
if(LION_BLAS)
  # Eigen's own switch, and ours, by which linear layers hand it whole matrices.
  lion_library(blas lion::lion BLAS::BLAS)
  target_compile_definitions(lion_blas INTERFACE EIGEN_USE_BLAS LION_BLAS)
endif()

if(LION_CUDA)
  # For sources that nvcc compiles; C++ sources may link lion::cuda and see the CPU alone. CMake 3.25 does not know that
  # nvcc has C++20; nvcc does not mind being told twice.
  lion_library(cuda lion::lion CUDA::cudart CUDA::cublasLt)
  target_compile_definitions(lion_cuda INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:LION_HAS_CUDA>
                                                 $<$<COMPILE_LANGUAGE:CUDA>:EIGEN_NO_CUDA>)
  target_compile_options(lion_cuda INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr>")
endif()

if(LION_INSTALL)
  # One configuration file serves both trees: it finds its targets beside itself.
  configure_file(cmake/lionConfig.cmake "${PROJECT_BINARY_DIR}/lionConfig.cmake" COPYONLY)
  configure_file(cmake/LionFindUtf8proc.cmake "${PROJECT_BINARY_DIR}/LionFindUtf8proc.cmake" COPYONLY)
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/lionConfigVersion.cmake" COMPATIBILITY SameMinorVersion
                                   ARCH_INDEPENDENT)
  install(FILES "${PROJECT_BINARY_DIR}/lionConfig.cmake" "${PROJECT_BINARY_DIR}/lionConfigVersion.cmake"
                cmake/LionFindUtf8proc.cmake
          DESTINATION "${lion_config_dir}")
  set(without_cuda "")
  if(NOT LION_CUDA)
    set(without_cuda PATTERN "cuda" EXCLUDE PATTERN "cuda.hpp" EXCLUDE)
  endif()
  install(DIRECTORY include/lion DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp"
          PATTERN "math.md" PATTERN "image/decode.cpp" PATTERN "io" EXCLUDE PATTERN "text" EXCLUDE
          ${without_cuda})
  if(LION_IO)
    install(DIRECTORY include/lion/io DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/lion" FILES_MATCHING PATTERN "*.hpp")
  endif()
  if(LION_TEXT)
    install(DIRECTORY include/lion/text DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/lion" FILES_MATCHING PATTERN "*.hpp")
  endif()
  install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/lion")
endif()
