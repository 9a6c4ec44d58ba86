#!/usr/bin/env bash
# Pins the images of an overlay: writes another overlay beside it, OVERLAY-pinned, which is the same with each image
# by the digest that its registry has for the tag now. Apply that one; run this again for newer images. The registry
# is asked with crane, skopeo or docker, whichever is there.
#
#   pin-images.sh OVERLAY
set -euo pipefail

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints the digest of an image: of all its platforms together, where it has several.
digest_of() {
    if command -v crane >/dev/null; then
        crane digest "$1"
    elif command -v skopeo >/dev/null; then
        # The manifest as it is, or skopeo would tell of this machine's platform only. Older macOS has shasum only.
        local hash
        hash=$(skopeo inspect --raw "docker://$1" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1) ||
            return 1
        printf 'sha256:%s\n' "$hash"
    elif docker buildx version >/dev/null 2>&1; then
        docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1"
    else
        die "crane, skopeo or docker with buildx is needed to ask a registry"
    fi
}

(($# == 1)) || die "usage: pin-images.sh OVERLAY"
overlay=$(cd "$1" && pwd)
[[ $overlay != *-pinned ]] || die "name the overlay without -pinned"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
read -ra render <<<"$("$root/k8s/kustomize.sh" "$root/target/tools")"
((${#render[@]})) || exit 1

rendered=$("${render[@]}" "$overlay")
images=$(sed -n 's/^ *\(- \)\{0,1\}image: //p' <<<"$rendered" | sort -u)
pins=
for image in $images; do
    [[ $image != *@* ]] || continue
    digest=$(digest_of "$image") || die "the registry does not tell the digest of $image"
    [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || die "the registry has no digest for $image: $digest"
    # A colon before the last slash is a port's.
    last=${image##*/}
    name=${image%"$last"}${last%%:*}
    pins+="  # $image"$'\n'"  - name: $name"$'\n'"    digest: $digest"$'\n'
done
[[ -n $pins ]] || die "every image of $1 is pinned already"

mkdir -p "$overlay-pinned"
cat >"$overlay-pinned/kustomization.yaml" <<END
# Written by deploy/pin-images.sh: the overlay with its images by digest.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization

resources:
  - ../$(basename "$overlay")

images:
$pins
END
printf 'written: %s\n' "$overlay-pinned/kustomization.yaml"
