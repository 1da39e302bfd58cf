# lion_find_utf8proc(): gives utf8proc::utf8proc where utf8proc is installed, with a CMake package of its own (2.10 and
# later) or without (Debian 12). Serves lion's build and, installed beside lionConfig.cmake, lion's consumers.
function(lion_find_utf8proc)
  if(NOT TARGET utf8proc::utf8proc)
    find_package(utf8proc CONFIG QUIET GLOBAL)
  endif()
  if(TARGET utf8proc::utf8proc)
    return()
  endif()
  find_path(LION_UTF8PROC_INCLUDE_DIR utf8proc.h)
  find_library(LION_UTF8PROC_LIBRARY utf8proc)
  mark_as_advanced(LION_UTF8PROC_INCLUDE_DIR LION_UTF8PROC_LIBRARY)
  if(LION_UTF8PROC_INCLUDE_DIR AND LION_UTF8PROC_LIBRARY)
    add_library(utf8proc::utf8proc UNKNOWN IMPORTED GLOBAL)
    set_target_properties(
      utf8proc::utf8proc PROPERTIES IMPORTED_LOCATION "${LION_UTF8PROC_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES
                                                                               "${LION_UTF8PROC_INCLUDE_DIR}")
  endif()
endfunction()
