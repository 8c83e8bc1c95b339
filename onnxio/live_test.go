package onnxio_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/relupath/relupath/onnxio"
)

// TestConstantsThatAreNotNeeded: constants that the graph computes count while something
// needs them. A chain of 44 products of a million numbers, as standardised weights are
// written, takes 8 MB at a time; the same where all are needed at the end takes 352 MB,
// for a file of 4 MB too much.
func TestConstantsThatAreNotNeeded(t *testing.T) {
	const n = 1 << 20
	chain := func(times int, kept bool, w field) []byte {
		f := []field{pbInput("x", -1, 1, n), pbOutput("y", -1, 1, 1), pbInitializer("two", nil, 2), pbInitializer("half", nil, 0.5)}
		f = append(f, w)
		last, all := "w", []string{}
		for k := range times {
			name := fmt.Sprintf("v%d", k)
			f = append(f, pbNode("Mul", name, names(last, []string{"two", "half"}[k%2]), names(name)))
			last = name
			all = append(all, name)
		}
		if kept {
			f = append(f, pbNode("Sum", "sum", all, names("s")))
			last = "s"
		}
		return pbModel(8, 13, append(f, pbNode("MatMul", "fc", names("x", last), names("y")))...)
	}
	stored := pbInitializer("w", []int64{n, 1}, ramp(n)...)
	m, err := onnxio.Decode(chain(44, false, stored), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for u := range m.Net.Uses() {
		for i, want := range ramp(n)[:100] {
			if got := u.Param.At(i); got != float64(want) {
				t.Fatalf("weight %d is %v, want %v", i, got, want)
			}
		}
	}
	_, err = onnxio.Decode(chain(44, true, stored), onnxio.Options{})
	if err == nil || !strings.Contains(err.Error(), "take more than 192 MiB") {
		t.Errorf("all needed: %v", err)
	}
}
