#!/usr/bin/env bash
# Changes the code that holds promises, a line at a time, and names the changes that no test notices.
#
#   tests/mutants/run.sh [OPTION of cargo mutants...]       for example: --shard 0/8, --re gateway/src/room/
#
# Called through servers.sh, which names the two servers. .cargo/mutants.toml says which modules are changed,
# and which changes may go unnoticed and why. The package's own tests come first, because they are quick; what
# they let through, the black-box tests are run on. A run that was stopped goes on where it was: what has been
# noticed is in target/mutants.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=../../deploy/local/lib.sh
source deploy/local/lib.sh

output=target/mutants
# Those that take long, or that look at something else than the services.
left_out='attacks_memory|browser|browser_client|chaos|described|open_files|storm|tls'

cargo mutants --version >/dev/null 2>&1 || die "cargo-mutants is missing: cargo install --locked cargo-mutants"
mkdir -p "$output"

# Prints `--test NAME` for each suite of black-box tests.
black_box() {
    local file name
    for file in tests/tests/*.rs; do
        name=$(basename "$file" .rs)
        [[ $name =~ ^($left_out)$ ]] || printf -- '--test\n%s\n' "$name"
    done
}

# 0: every change was noticed; 2 and 3: some were not, or took too long.
mutants() {
    local status=0
    cargo mutants --output "$output" --iterate --no-shuffle "$@" || status=$?
    ((status == 0 || status == 2 || status == 3)) || exit "$status"
    return "$status"
}

# Both builds without what only a debugger reads.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0 CARGO_INCREMENTAL=1

if mutants "$@" -- --lib --tests; then
    exit
fi
suites=()
while read -r word; do suites+=("$word"); done < <(black_box)
# The suites start the services' programs, which cargo does not build for them.
triple=$(rustc -vV | sed -n 's/^host: //p' | tr '[:lower:]-' '[:upper:]_')
export "CARGO_TARGET_${triple}_RUNNER=$PWD/tests/mutants/with-services.sh"
mutants --test-package goch-tests "$@" -- "${suites[@]}"
