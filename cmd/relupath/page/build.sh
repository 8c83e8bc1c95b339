#!/bin/sh
# The page for browsers, as files for any web server:
#
#   cmd/relupath/page/build.sh [FOLDER]
set -eu
out=$(mkdir -p "${1:-build/page}" && cd "${1:-build/page}" && pwd)
cd "$(dirname "$0")"
(
	IFS='
' # a flag a line
	GOOS=js GOARCH=wasm go build $(cat ../release.flags) -o "$out/relupath.wasm" .
)
cp "$(go env GOROOT)/lib/wasm/wasm_exec.js" index.html ./*.js "$out"
