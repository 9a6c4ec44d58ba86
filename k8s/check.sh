#!/usr/bin/env bash
# Renders base and the overlays, and checks each object against Kubernetes' own schemas, without a cluster.
# Unknown fields are errors. Checks docker-compose.yml for what it promises, too. What the machine lacks for
# that is put into the folder given: the checker from PyPI, and a kustomize where there is no kubectl. The
# definitions of the Gateway API are in its Go module: without go, what is of it is not checked.
#
#   check.sh FOLDER
set -euo pipefail

checker=kubernetes-validate==1.37.0
# The oldest and the newest release that the manifests are meant for.
releases=(1.30 1.37)
gateway_api=sigs.k8s.io/gateway-api@v1.3.0

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

definitions=()
if command -v go >/dev/null; then
    module=$(go mod download -json "$gateway_api" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
    definitions=("$module"/config/crd/standard/*.yaml)
fi

for manifests in base overlays/*/; do
    manifests=${manifests%/}
    rendered=$folder/${manifests//\//-}.yaml
    "${render[@]}" "$manifests" >"$rendered"
    "$folder/bin/python" rendered.py "$rendered" || die "k8s/$manifests does not do what it should"
    if ((${#definitions[@]})); then
        custom=$("$folder/bin/python" gateway_api.py "$rendered" "${definitions[@]}") ||
            die "k8s/$manifests does not hold to the definitions of its kinds"
        ((custom == 0)) || printf 'k8s/%s: %s objects hold to %s\n' "$manifests" "$custom" "$gateway_api"
    elif grep -q '^apiVersion: gateway.networking' "$rendered"; then
        printf 'k8s/%s: there is no go: routes are NOT checked\n' "$manifests"
    fi
    # The examples have no registry to ask.
    if [[ $manifests == overlays/* && $manifests != overlays/example* && ! -d $manifests-pinned ]] &&
        grep -E '^ *(- )?image: ' "$rendered" | grep -qv '@sha256:'; then
        printf 'warning: k8s/%s has images that are not pinned: deploy/pin-images.sh\n' "$manifests" >&2
    fi
    for release in "${releases[@]}"; do
        # It warns of kinds that it does not know; those of the Gateway API are seen to above.
        "$folder/bin/kubernetes-validate" --strict --quiet -k "$release" "$rendered" \
            > >(grep -v 'api version gateway.networking.k8s.io') ||
            die "k8s/$manifests does not hold to the schemas of Kubernetes $release"
        printf 'k8s/%s: %s objects hold to the schemas of Kubernetes %s\n' \
            "$manifests" "$(grep '^apiVersion:' "$rendered" | grep -vc gateway.networking)" "$release"
    done
done

for files in docker-compose.yml "docker-compose.yml docker-compose.tls.yml"; do
    # shellcheck disable=SC2086 # two names
    (cd .. && "$folder/bin/python" -B deploy/check-compose.py $files) ||
        die "$files does not do what it should"
    printf '%s: as it should be\n' "$files"
done
