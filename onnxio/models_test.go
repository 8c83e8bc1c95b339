package onnxio_test

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

var evalOptions = dag.EvalOptions{Threads: 2}

// TestSharedModels reads the shared models and evaluates them on ONNX Runtime's
// recorded inputs.
func TestSharedModels(t *testing.T) {
	type count struct{ total, read, evaluated int }
	counts := map[string]*count{}
	var left []string
	for _, m := range sharedModels(t) {
		c := counts[m.role]
		if c == nil {
			c = &count{}
			counts[m.role] = c
		}
		c.total++
		t.Run(m.name, func(t *testing.T) {
			model, err := onnxio.Read(m.path, onnxio.Options{})
			if err != nil {
				left = append(left, fmt.Sprintf("%s: %s: %v", m.role, m.name, err))
				if m.role != "negative" && m.role != "mixed-activation" {
					t.Error(err)
				}
				return
			}
			defer model.Close()
			c.read++
			if m.role == "negative" {
				t.Errorf("it was read, head %v", model.Head)
			}
			if m.expected == "" {
				left = append(left, fmt.Sprintf("%s: %s: no recorded outputs", m.role, m.name))
				return
			}
			// Float32 outputs differ by the order of summation over layers; float64
			// models were computed in float64 by ONNX Runtime as well.
			tol := 1e-4
			if strings.HasPrefix(m.role, "mlp-double") && m.role == "mlp-double-io" {
				tol = 1e-9
			}
			d, n := evaluateRecorded(t, model, readRecorded(t, m.expected))
			if !(d <= tol) {
				t.Errorf("outputs differ by %.3g relative to the largest, want %g", d, tol)
				return
			}
			if n == 0 {
				t.Error("no output was compared")
			}
			c.evaluated++
		})
	}
	var roles []string
	for r := range counts {
		roles = append(roles, r)
	}
	sort.Strings(roles)
	for _, r := range roles {
		t.Logf("%-16s %3d models, %3d read, %3d with the recorded outputs", r, counts[r].total, counts[r].read, counts[r].evaluated)
	}
	sort.Strings(left)
	t.Logf("left out:\n%s", strings.Join(left, "\n"))
}
