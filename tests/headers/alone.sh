#!/bin/sh
# alone.sh INCLUDE HEADERS BASE COMPILER FLAGS…: gives each header of the folder INCLUDE that is listed in the file
# HEADERS to the compiler, two at a time, as the only line of a source. Names each that fails.
#
# BASE is the header that nearly all include by some way, and most of their time: precompiled, it goes before those
# that do. It hides nothing: all of it comes before the header's own first line in any case.
include=$1 list=$2 base=$3
shift 3
printf '#include "%s"\n' "$base" >base.hpp
"$@" -x c++-header base.hpp -o base.hpp.gch || exit 1

# Lines "HEADER INCLUDED", and from them lines "HEADER" and "HEADER -include base.hpp".
(cd "$include" && xargs grep -Ho '^#include "[^"]*"') <"$list" | sed 's/:#include "/ /; s/"$//' |
  awk -v list="$list" -v base="$base" '
    { includes[$1] = includes[$1] " " $2 }
    function reach(header,    i, n, found) {
      n = split(includes[header], found)
      for (i = 1; i <= n; ++i) if (!(found[i] in reached)) { reached[found[i]]; reach(found[i]) }
    }
    END {
      while ((getline header < list) > 0) {
        split("", reached)
        reach(header)
        print header (base in reached ? " -include base.hpp" : "")
      }
    }' |
  xargs -P 2 -I '{}' sh -c '
    header=${1%% *} first=${1#"$header"}
    shift
    printf "#include \"%s\"\n" "$header" | "$@" $first -fsyntax-only -x c++ - ||
      { echo "does not compile alone: $header"; exit 1; }' alone '{}' "$@"
