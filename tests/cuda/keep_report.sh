#!/bin/sh
# keep_report.sh COMPILER FLAGS…: compiles, and keeps what the compiler says beside the object, in OBJECT.report.
previous=
for argument; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
"$@" >"$object.report" 2>&1
status=$?
[ $status -eq 0 ] || cat "$object.report" >&2
exit $status
