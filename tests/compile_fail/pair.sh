#!/bin/sh
# pair.sh SENTENCE SOURCE COMPILER FLAGS…: SOURCE compiles with -DRIGHT, and without it the first error is SENTENCE.
sentence=$1
source=$2
shift 2
if ! "$@" -DRIGHT "$source"; then
  echo "$source: does not compile with RIGHT defined" >&2
  exit 1
fi
if output=$("$@" "$source" 2>&1); then
  echo "$source: compiles without RIGHT, expected the error: $sentence" >&2
  exit 1
fi
if ! printf '%s\n' "$output" | grep -m 1 'error:' | grep -qF "$sentence"; then
  printf '%s\n' "$output"
  echo "$source: the first error is another, expected: $sentence" >&2
  exit 1
fi
