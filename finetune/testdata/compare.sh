#!/bin/sh
# Times our step and PyTorch's, alternating, on the same machine:
#   sh testdata/compare.sh [rounds]
# PYTHON names a Python with PyTorch. Run in the folder of package finetune.
set -e
rounds=${1:-3}
python=${PYTHON:-python3}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go test -c -o "$tmp/step.test" .
for round in $(seq "$rounds"); do
	for width in 256 4000; do
		steps=20
		[ "$width" = 256 ] && steps=300
		OMP_WAIT_POLICY=PASSIVE "$python" testdata/torch_step.py "$width" "$steps"
		for bench in "Step/.*/width=$width\$" "Gemm/width=$width\$"; do
			GOMAXPROCS=2 "$tmp/step.test" -test.run '^$' -test.bench "$bench" -test.benchtime 2s | grep '^Benchmark'
		done
	done
done
