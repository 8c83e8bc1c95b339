#!/bin/sh
# The wheel for this platform, or for GOOS and GOARCH:
#
#   cmd/relupath/python/build.sh [FOLDER]
#
# Needs Python 3 with venv, and Go or a program in RELUPATH_BINARY.
set -eu
out=$(mkdir -p "${1:-build/wheels}" && cd "${1:-build/wheels}" && pwd)
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check 'hatchling>=1.26'
"$work/venv/bin/python" -m hatchling build -t wheel -d "$out"
