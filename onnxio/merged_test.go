package onnxio_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// transposed is numpy's transpose of a row-major array.
func transposed(x []float64, dims, perm []int) ([]float64, []int) {
	to := make([]int, len(perm))
	for i, p := range perm {
		to[i] = dims[p]
	}
	out := make([]float64, len(x))
	at := make([]int, len(dims)) // of the result
	for k := range out {
		from := 0
		for a := range dims {
			from = from*dims[a] + at[slices.Index(perm, a)]
		}
		out[k] = x[from]
		for a := len(at) - 1; a >= 0; a-- {
			if at[a]++; at[a] < to[a] {
				break
			}
			at[a] = 0
		}
	}
	return out, to
}

// Chains of reshapes and transposes that merge the batch with other axes, and part them
// again, move the elements as they do on whole arrays, with sizes that are -1, numbers for
// the batch that the file fixes, or products with the batch size; a chain may
// be refused, but only with a sentence.
func TestMergedBatchAgainstArrays(t *testing.T) {
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		pick := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		const n = 3
		fixed := pick("fixed", 2) == 0
		dims := []int{n, 1 + pick("a", 4), 1 + pick("b", 4), 1 + pick("c", 4)}
		// Where the batch is: axis k holds outer x batch x inner.
		k, outer, inner := 0, 1, 1
		x := make([]float64, n*dims[1]*dims[2]*dims[3])
		for i := range x {
			x[i] = float64(i)
		}
		in := []int64{-1, int64(dims[1]), int64(dims[2]), int64(dims[3])}
		if fixed {
			in[0] = n
		}
		y, name := slices.Clone(x), "x"
		fs := []field{pbInput("x", in...), pbOutput("out", -1, int64(len(x)/n))}
		fs = append(fs, pbNode("Shape", "", names("x"), names("shape")), pbInts("zero", 0), pbNode("Gather", "", names("shape", "zero"), names("n")))
		count := 0
		give := func(op string, inputs []string, attr ...field) {
			count++
			out := fmt.Sprint("v", count)
			fs = append(fs, pbNode(op, out, inputs, names(out), attr...))
			name = out
		}
		// reshape gives target, whose axis k has the batch.
		reshape := func(target []int) {
			var list []int64
			open := pick("open", 3) == 0
			for i, d := range target {
				switch {
				case i == k && open:
					list = append(list, -1)
				case i == k && !fixed:
					list = append(list, 0) // in its place comes the product below
				default:
					list = append(list, int64(d))
				}
			}
			s := fmt.Sprint("s", count)
			if open || fixed {
				fs = append(fs, pbInts(s, list...))
			} else {
				fs = append(fs, pbInts(s+"f", int64(target[k]/n)), pbNode("Mul", "", names("n", s+"f"), names(s+"k")))
				parts := names(s + "k")
				if k > 0 {
					fs = append(fs, pbInts(s+"a", list[:k]...))
					parts = append(names(s+"a"), parts...)
				}
				if k+1 < len(list) {
					fs = append(fs, pbInts(s+"b", list[k+1:]...))
					parts = append(parts, s+"b")
				}
				fs = append(fs, pbNode("Concat", "", parts, names(s), attrOfInt("axis", 0)))
			}
			give("Reshape", names(name, s))
			dims = target
		}
		for range 1 + pick("steps", 6) {
			switch pick("what", 3) {
			case 0: // merge the batch's axis with a neighbour
				switch {
				case pick("side", 2) == 0 && k > 0:
					target := slices.Delete(slices.Clone(dims), k, k+1)
					target[k-1] = dims[k-1] * dims[k]
					outer *= dims[k-1]
					k--
					reshape(target)
				case k+1 < len(dims):
					target := slices.Delete(slices.Clone(dims), k+1, k+2)
					target[k] = dims[k] * dims[k+1]
					inner *= dims[k+1]
					reshape(target)
				}
			case 1: // part it
				target := slices.Replace(slices.Clone(dims), k, k+1, outer, n, inner)
				k, outer, inner = k+1, 1, 1
				reshape(target)
			case 2:
				perm := rapid.Permutation(identity(len(dims))).Draw(t, "perm")
				var list []int64
				for _, p := range perm {
					list = append(list, int64(p))
				}
				y, dims = transposed(y, dims, perm)
				k = slices.Index(perm, k)
				give("Transpose", names(name), attrOfInts("perm", list...))
			}
			if pick("activation", 3) == 0 {
				give("Relu", names(name))
			}
		}
		// At the end the batch is first and alone.
		target := slices.Replace(slices.Clone(dims), k, k+1, outer, n, inner)
		k++
		reshape(target)
		perm := identity(len(dims))
		perm = append([]int{k}, slices.Delete(perm, k, k+1)...)
		var list []int64
		for _, p := range perm {
			list = append(list, int64(p))
		}
		y, _ = transposed(y, dims, perm)
		give("Transpose", names(name), attrOfInts("perm", list...))
		fs = append(fs, pbNode("Flatten", "", names(name), names("out")))
		m, err := onnxio.Decode(pbModel(8, 17, fs...), onnxio.Options{Whole: true})
		if _, ok := errors.AsType[*onnxio.UnsupportedError](err); ok {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Batchless {
			return
		}
		read++
		got, err := eval.Run(t.Context(), m.Net, [][]float64{x}, n, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[0], y) {
			t.Fatalf("%v, want %v\n%s", got[0], y, m.Net)
		}
	})
	if read < 10 { // of 20 in short mode
		t.Errorf("%d of the chains were read sample by sample", read)
	}
}

func identity(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	return p
}

// pbInts is an initializer, a list of integers.
func pbInts(name string, v ...int64) field {
	f := tensorHeader(name, 7, []int64{int64(len(v))})
	for _, x := range v {
		f = append(f, pbInt(7, x))
	}
	return pbMessage(5, f...)
}
