#!/bin/sh
# The wheel for this platform, for GOOS and GOARCH, or for each of PLATFORMS ("linux/arm64 darwin/arm64"):
#
#   cmd/relupath/python/build.sh [FOLDER]
#
# Needs Python 3 with venv, and Go or a program in RELUPATH_BINARY. RELUPATH_VERSION is its version.
set -eu
out=$(mkdir -p "${1:-build/wheels}" && cd "${1:-build/wheels}" && pwd)
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check 'hatchling>=1.26'
for platform in ${PLATFORMS:-${GOOS-}/${GOARCH-}}; do
	GOOS=${platform%/*} GOARCH=${platform#*/} "$work/venv/bin/python" -m hatchling build -t wheel -d "$out"
done
