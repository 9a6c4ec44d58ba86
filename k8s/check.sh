#!/usr/bin/env bash
# Renders base and the overlays, and checks each object against Kubernetes' own schemas, without a cluster.
# Unknown fields are errors. Checks docker-compose.yml for what it promises, too. What the machine lacks for
# that is put into the folder given: the checker from PyPI, and a kustomize where there is no kubectl.
#
#   check.sh FOLDER
set -euo pipefail

checker=kubernetes-validate==1.37.0
# The oldest and the newest release that the manifests are meant for.
releases=(1.30 1.37)

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

command -v python3 >/dev/null || die "python3 is needed to check the manifests"

mkdir -p "$1"
folder=$(cd "$1" && pwd)/kubernetes-validate
read -ra render <<<"$("$(dirname "${BASH_SOURCE[0]}")"/kustomize.sh "$1")"
((${#render[@]})) || exit 1
cd "$(dirname "${BASH_SOURCE[0]}")"

if [[ ! -x $folder/bin/kubernetes-validate ]]; then
    rm -rf "$folder"
    python3 -m venv "$folder" || die "python3 cannot make a virtual environment (Debian: python3-venv)"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$checker"
fi

for manifests in base overlays/*/; do
    manifests=${manifests%/}
    rendered=$folder/${manifests//\//-}.yaml
    "${render[@]}" "$manifests" >"$rendered"
    "$folder/bin/python" rendered.py "$rendered" || die "k8s/$manifests does not do what it should"
    for release in "${releases[@]}"; do
        "$folder/bin/kubernetes-validate" --strict --quiet -k "$release" "$rendered" ||
            die "k8s/$manifests does not hold to the schemas of Kubernetes $release"
        printf 'k8s/%s: %s objects hold to the schemas of Kubernetes %s\n' \
            "$manifests" "$(grep -c '^kind:' "$rendered")" "$release"
    done
done

for files in docker-compose.yml "docker-compose.yml docker-compose.tls.yml"; do
    # shellcheck disable=SC2086 # two names
    (cd .. && "$folder/bin/python" deploy/check-compose.py $files) ||
        die "$files does not do what it should"
    printf '%s: as it should be\n' "$files"
done
