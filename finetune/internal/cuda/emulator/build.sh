#!/usr/bin/env bash
# Builds the emulated libraries: build.sh GORGONIA CUDA NVIDIA OUT, the folders of
# Gorgonia's sources, of package cuda, of NVIDIA's wheels and of the build.
set -euo pipefail
gorgonia=$1 cuda=$2 nvidia=$3 out=$4
here=$cuda/emulator
to=$out/emulator
mkdir -p "$to/obj"
flags=(-std=c++17 -O2 -ffp-contract=off -fPIC -Wall -I"$here")
for part in cuda_runtime cuda_nvcc cuda_cccl cublas cudnn; do
	flags+=(-isystem "$nvidia/$part/include")
done
objects=()
for ptx in "$cuda"/ptx/*.ptx; do
	name=$(basename "$ptx" .ptx)
	source="$gorgonia/cuda modules/src/$name.cu"
	[ -e "$source" ] || source="$cuda/kernels/$name.cu"
	{
		echo "#include \"kernel.h\""
		echo "#include \"$source\""
		echo "namespace {"
		grep -oE '\.entry +[A-Za-z0-9_]+' "$ptx" | awk '{ printf "Registered r%d(\"%s\", %s);\n", NR, $2, $2 }'
		echo "}"
	} >"$to/obj/$name.cpp"
	g++ "${flags[@]}" -c -o "$to/obj/$name.o" "$to/obj/$name.cpp"
	objects+=("$to/obj/$name.o")
done
g++ "${flags[@]}" -shared -Wl,-soname,libcuda.so.1 -o "$to/libcuda.so.1" "$here/driver.cpp" "${objects[@]}"
g++ "${flags[@]}" -shared -Wl,-soname,libcublas.so.12 '-Wl,-rpath,$ORIGIN' -o "$to/libcublas.so.12" "$here/blas.cpp" "$to/libcuda.so.1" -l:libopenblas.so.0
g++ "${flags[@]}" -shared -Wl,-soname,libcudnn.so.8 -o "$to/libcudnn.so.8" "$here/dnn.cpp"
