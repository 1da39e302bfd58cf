# Stands for an Eigen of another version (PRETENDED_EIGEN), over the headers of the real one (EIGEN_HEADERS).
if(NOT TARGET Eigen3::Eigen)
  add_library(Eigen3::Eigen INTERFACE IMPORTED)
  target_include_directories(Eigen3::Eigen INTERFACE "${EIGEN_HEADERS}")
endif()
