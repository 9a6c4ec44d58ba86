#!/usr/bin/env bash
# Builds the services as they are at the moment, and then runs a program of cargo's: tests that start them.
#
#   with-services.sh PROGRAM [ARGUMENT...]
set -euo pipefail

cargo build --quiet --manifest-path "$CARGO_MANIFEST_DIR/../Cargo.toml" --workspace --bins
exec "$@"
