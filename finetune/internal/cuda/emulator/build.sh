#!/usr/bin/env bash
# Builds the emulated libraries: build.sh CUDA NVIDIA OUT, the folders of package
# cuda, of NVIDIA's wheels and of the build.
set -euo pipefail
cuda=$1 nvidia=$2 out=$3
here=$cuda/emulator
to=$out/emulator
mkdir -p "$to/obj"
flags=(-std=c++17 -O2 -ffp-contract=off -fPIC -Wall -I"$here")
for part in cuda_runtime cuda_nvcc cuda_cccl cublas; do
	flags+=(-isystem "$nvidia/$part/include")
done
objects=()
rm -f "$to"/obj/*
for suffix in f32 f64; do
	name=relupath_$suffix ptx=$cuda/ptx/relupath_$suffix.ptx
	{
		echo "#include \"kernel.h\""
		echo "#define real $([ $suffix = f32 ] && echo float || echo double)"
		echo "#define K(name) name##_$suffix"
		echo "namespace {"
		echo "#include \"$cuda/kernels/relupath.cu\""
		grep -oE '\.entry +[A-Za-z0-9_]+' "$ptx" | awk '{ printf "Registered r%d(\"%s\", %s);\n", NR, $2, $2 }'
		echo "}"
	} >"$to/obj/$name.cpp"
	g++ "${flags[@]}" -c -o "$to/obj/$name.o" "$to/obj/$name.cpp"
	objects+=("$to/obj/$name.o")
done
g++ "${flags[@]}" -shared -Wl,-soname,libcuda.so.1 -o "$to/libcuda.so.1" "$here/driver.cpp" "${objects[@]}"
g++ "${flags[@]}" -shared -Wl,-soname,libcublas.so.12 '-Wl,-rpath,$ORIGIN' -o "$to/libcublas.so.12" "$here/blas.cpp" "$to/libcuda.so.1" -l:libopenblas.so.0
