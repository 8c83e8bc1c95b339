#!/bin/sh
# Archives of the program for each platform, with completions and man pages, wheels, and checksums:
#
#   cmd/relupath/release.sh [FOLDER]
#
# release.flags has the flags of every build that is published: no symbols, and no inlining in what
# computes nothing, which is a tenth of the size. The toolchain records the tag of a clean checkout as the version.
set -eu
out=$(mkdir -p "${1:-build/release}" && cd "${1:-build/release}" && pwd)
cd "$(dirname "$0")/../.."
version=$(git describe --tags --always --dirty)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/completions"
go build -o "$work/host" ./cmd/relupath
for shell in bash zsh fish powershell; do
	"$work/host" completion "$shell" >"$work/completions/relupath.$shell"
done
go run ./cmd/relupath/internal/manual "$work/man"
PLATFORMS=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}
for platform in $PLATFORMS; do
	os=${platform%/*} arch=${platform#*/}
	name=relupath-$version-$os-$arch
	program=relupath
	[ "$os" != windows ] || program=relupath.exe
	mkdir "$work/$name"
	(
		IFS='
' # a flag a line
		CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -buildvcs=true $(cat cmd/relupath/release.flags) -o "$work/$name/$program" ./cmd/relupath
	)
	cp -r LICENSE README.md CHANGELOG.md "$work/completions" "$work/man" "$work/$name"
	tar -C "$work" -czf "$out/$name.tar.gz" "$name"
	echo "$name: $(wc -c <"$work/$name/$program") bytes, archive $(wc -c <"$out/$name.tar.gz")"
done
PLATFORMS=$PLATFORMS RELUPATH_VERSION=$version cmd/relupath/python/build.sh "$work/wheels"
cp "$work/wheels"/*.whl "$out"
wheels=$(cd "$work/wheels" && echo *.whl)
(cd "$out" && wc -c $wheels && sha256sum "relupath-$version"-*.tar.gz $wheels >checksums.txt)
