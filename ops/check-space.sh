#!/bin/sh
# Stops UNITS while the file system of STORE has less than MINIMUM_FREE_GIB free, and starts them again when 10 GiB more are
# free. FLAG is a file that says the units were stopped by this script; units that an operator stopped stay stopped.
# The sockets must be among UNITS, before the service: an active socket starts the service again at the next connection.
set -eu
store=${STORE:-/nix/store}
units=${UNITS:-hydra-queue-runner-rest.socket hydra-queue-runner-grpc.socket hydra-queue-runner.service}
flag=${FLAG:-/var/lib/hydra/.hydra-queue-runner-stopped-minspace}
minimum=$((${MINIMUM_FREE_GIB:?} * 1024 * 1024))
resume=$((minimum + 10 * 1024 * 1024))

free=$(df -k --output=avail "$store" | tail -n 1)
if [ "$free" -lt "$minimum" ]; then
  echo "$store has $((free / 1024 / 1024)) GiB free, less than $MINIMUM_FREE_GIB: stopping the queue runner"
  : > "$flag"
  # shellcheck disable=SC2086 # a list
  systemctl stop $units
elif [ "$free" -gt "$resume" ] && [ -e "$flag" ]; then
  echo "$store has $((free / 1024 / 1024)) GiB free: starting the queue runner"
  rm "$flag"
  # shellcheck disable=SC2086 # a list
  systemctl start $units
fi
