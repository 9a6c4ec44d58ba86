#!/usr/bin/env bash
# Fuzzes each target for some seconds, guided by coverage: fuzz/run.sh SECONDS [TARGET...]
#
# Stable Rust suffices: the coverage counters that libFuzzer reads are inserted by a pass of LLVM,
# which rustc runs when told to. The instrumented build has a directory of its own. Inputs that reach
# new code are kept in target/fuzz/corpus, so the next run goes on from there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=$1
shift
targets=("$@")
if ((${#targets[@]} == 0)); then
    for folder in fuzz/corpus/*/; do
        targets+=("$(basename "$folder")")
    done
fi

export CARGO_TARGET_DIR=target/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')
flags=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    # Each comparison stays a branch of its own that can be seen.
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    # A wrong sum or a broken rule is to end the run, as in a debug build.
    -Cdebug-assertions
    -Coverflow-checks
)
# Naming the target keeps the flags away from build scripts.
RUSTFLAGS="${flags[*]}" cargo build -p goch-fuzz --features libfuzzer --release --target "$triple"

failed=()
for target in "${targets[@]}"; do
    found=$CARGO_TARGET_DIR/corpus/$target
    artifacts=$CARGO_TARGET_DIR/artifacts/$target
    mkdir -p "$found" "$artifacts"
    echo "== $target, $seconds s"
    FUZZ_TARGET=$target "$CARGO_TARGET_DIR/$triple/release/goch-fuzz" \
        -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=4096 \
        -dict=fuzz/protocol.dict -artifact_prefix="$artifacts/" -print_final_stats=1 \
        "$found" "fuzz/corpus/$target" 2>&1 |
        # Leaves what failed, and how much was tried.
        grep -Ev '^#|^"|^INFO|^WARNING|NEW_FUNC|^Dictionary|^stat::(new|slowest|number)' ||
        failed+=("$target")
done

if ((${#failed[@]} > 0)); then
    echo "failed: ${failed[*]}. Copy the input from target/fuzz/artifacts to fuzz/corpus: make test replays it."
    exit 1
fi
