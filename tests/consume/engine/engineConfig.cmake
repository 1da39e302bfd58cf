include(CMakeFindDependencyMacro)
find_dependency(lion CONFIG)
include("${CMAKE_CURRENT_LIST_DIR}/engineTargets.cmake")
