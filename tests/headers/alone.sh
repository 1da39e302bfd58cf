#!/bin/sh
# alone.sh HEADERS COMPILER FLAGS…: gives each header listed in the file HEADERS to the compiler, two at a time, as the
# only line of a source. Names each that fails.
list=$1
shift
xargs -P 2 -I '{}' sh -c '
  header=$1
  shift
  printf "#include \"%s\"\n" "$header" | "$@" -x c++ - || { echo "does not compile alone: $header"; exit 1; }
' alone '{}' "$@" <"$list"
