#!/usr/bin/env bash
# Checks that all Rust code compiles for macOS, on a machine that is none: `make check-macos`. That needs Rust's
# standard library for it (rustup target add x86_64-apple-darwin), and no Mac: nothing is linked, and the C of two
# crates is left out, for which a compiler and headers of Apple's would be needed. So it does not say that Goch runs
# there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
triple=x86_64-apple-darwin

# The library itself: a folder may be left of an installation that was broken off.
if ! compgen -G "$(rustc --print sysroot)/lib/rustlib/$triple/lib/libcore-*.rlib" >/dev/null; then
    echo "Rust has no standard library of macOS here (rustup target add $triple): it is not checked"
    exit
fi

# Takes the place of Apple's C compiler and of its archiver: makes an empty file of what it is asked for.
mkdir -p target/tools
nothing=$PWD/target/tools/make-nothing
cat >"$nothing" <<'END'
#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        -o) : >"$2" ;;
        *.a) : >"$1" ;;
    esac
    shift
done
END
chmod 755 "$nothing"

underscores=$(printf '%s' "$triple" | tr - _)
export "CC_$underscores=$nothing" "CXX_$underscores=$nothing" "AR_$underscores=$nothing"
# Or Apple's tools are asked where it is.
export SDKROOT=/
cargo check --workspace --all-targets --target "$triple"
