#!/usr/bin/env bash
# count.sh PROGRAM BOUNDS: holds the instructions of every case of PROGRAM, as callgrind counts them, against the lines
# "NAME COUNT" of BOUNDS. Fails where one takes 2 % more, and where one takes 10 % less: then write the new count down.
set -euo pipefail
program=$1 bounds=$2 failed=0
names=$("$program")
for name in $(awk '{ print $1 }' "$bounds"); do
  grep -qx "$name" <<<"$names" || { echo "$name of $bounds is no case"; failed=1; }
done
for name in $names; do
  count=$(valgrind --tool=callgrind --collect-atstart=no --callgrind-out-file=/dev/null "$program" "$name" 2>&1 |
    sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' || true)
  bound=$(awk -v name="$name" '$1 == name { print $2 }' "$bounds")
  if [ -z "$count" ] || [ -z "$bound" ]; then
    echo "$name: ${count:-no count}, expected ${bound:-a line in $bounds}"
    failed=1
  elif [ $((count * 100)) -gt $((bound * 102)) ] || [ $((count * 100)) -lt $((bound * 90)) ]; then
    echo "$name: $count instructions, expected from 90 to 102 % of $bound"
    failed=1
  else
    echo "$name: $count instructions, written down $bound"
  fi
done
exit $failed
