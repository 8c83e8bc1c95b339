package fold_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/fold"
)

func TestAffine(t *testing.T) {
	// 2x + 1 and 3x, then -x + 5: small integers, so that all is exact.
	m := fold.Affine{Scale: []float64{2, 3}, Shift: []float64{1, 0}}
	then := m.Then(fold.Affine{Scale: []float64{-1, -1}, Shift: []float64{5, 5}}, 2)
	if diff := cmp.Diff(fold.Affine{Scale: []float64{-2, -3}, Shift: []float64{4, 5}}, then); diff != "" {
		t.Error("then:", diff)
	}
	if diff := cmp.Diff(m, fold.Affine{}.Then(m, 2)); diff != "" {
		t.Error("the identity first:", diff)
	}
	over := fold.Affine{Scale: m.Scale}.Over(dag.Axis{Outer: 2, N: 2, Inner: 2})
	if diff := cmp.Diff(fold.Affine{Scale: []float64{2, 2, 3, 3, 2, 2, 3, 3}}, over); diff != "" {
		t.Error("over an axis:", diff)
	}
}

func TestUnits(t *testing.T) {
	type ask struct {
		unit         int
		scale, shift float64
	}
	for _, tt := range []struct {
		name         string
		asks         []ask
		want         fold.Affine
		scale, shift bool
	}{
		{"nothing", nil, fold.Affine{Scale: []float64{1, 1, 1}, Shift: []float64{0, 0, 0}}, true, true},
		{"one for those that say nothing", []ask{{0, 2, 3}, {2, 2, 4}}, fold.Affine{Scale: []float64{2, 2, 2}, Shift: []float64{3, 0, 4}}, true, true},
		{"constants that differ within a unit", []ask{{0, 2, 3}, {1, 5, 3}, {0, 2, 4}, {2, 5, 3}}, fold.Affine{Scale: []float64{2, 5, 5}, Shift: []float64{3, 3, 3}}, true, false},
		{"factors that differ within a unit", []ask{{1, 2, 0}, {1, 3, 0}}, fold.Affine{Scale: []float64{2, 2, 2}, Shift: []float64{0, 0, 0}}, false, true},
	} {
		q := fold.NewUnits(3)
		for _, a := range tt.asks {
			q.Ask(a.unit, a.scale, a.shift)
		}
		if diff := cmp.Diff(tt.want, q.Affine()); diff != "" || q.Scale != tt.scale || q.Shift != tt.shift {
			t.Errorf("%s: agreement %v, %v, want %v, %v: %s", tt.name, q.Scale, q.Shift, tt.scale, tt.shift, diff)
		}
	}
}

func TestTakes(t *testing.T) {
	for _, tt := range []struct {
		of   dag.Map
		want bool
	}{{nil, true}, {&dag.Diagonal{}, true}, {&dag.Average{}, false}} {
		if got := fold.Takes(&dag.Linear{Map: tt.of}); got != tt.want {
			t.Errorf("%T: %v, want %v", tt.of, got, tt.want)
		}
	}
}
