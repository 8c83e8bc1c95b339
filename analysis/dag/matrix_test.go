package dag_test

import (
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
)

// A diagonal's numbers are its rows' own, each stored once.
func TestDiagonalMatrix(t *testing.T) {
	x := []float64{2, 3, 5}
	m := dag.DiagonalMatrix(x)
	if m.Len() != 3 || m.Float32s() != nil {
		t.Errorf("%d weights, view %v", m.Len(), m.Float32s())
	}
	for e, want := range x {
		if row, col := m.Place(e); row != e || col != e || m.At(e) != want {
			t.Errorf("weight %d is %v at (%d, %d)", e, m.At(e), row, col)
		}
	}
	got := []float64{1, 1, 1, 1, 1, 1} // what was there goes
	m.ReadRows(got, 1, 3)
	if want := []float64{0, 3, 0, 0, 0, 5}; !slices.Equal(got, want) {
		t.Errorf("rows 1 and 2 are %v, want %v", got, want)
	}
}
