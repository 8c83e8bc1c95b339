package dag

import (
	"math/rand/v2"
	"testing"
)

// A list of groups of random form is that of its map again, and maps of transposes have
// a number for each unit, not for each element.
func TestUnitMapsAreShort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	same := func(ids []int32) UnitMap {
		t.Helper()
		m := compress(append([]int32(nil), ids...))
		for e, id := range ids {
			if m.At(e) != id {
				t.Fatalf("%v: element %d is in group %d: %+v", ids, e, m.At(e), m)
			}
		}
		return m
	}
	for range 20000 {
		var ids []int32
		blocks, line, times, inner := 1+rng.IntN(4), 1+rng.IntN(5), 1+rng.IntN(4), 1+rng.IntN(4)
		groups := 1 + rng.IntN(blocks*line)
		for range blocks {
			one := make([]int32, line)
			for i := range one {
				one[i] = int32(rng.IntN(groups)) - 1
			}
			for range times {
				for _, id := range one {
					for range inner {
						ids = append(ids, id)
					}
				}
			}
		}
		if rng.IntN(4) == 0 {
			ids[rng.IntN(len(ids))] = 99
		}
		same(ids)
	}
	for _, c := range []struct {
		name                       string
		blocks, times, line, inner int
	}{
		{"steps x units", 1, 197, 768, 1},
		{"heads x steps x units", 12, 197, 64, 1},
		{"heads x units x steps", 1, 1, 768, 197},
		{"samples x channels x lines", 1, 5, 64, 49},
		{"heads x steps x units x columns", 3, 7, 16, 2},
	} {
		var ids []int32
		for b := range c.blocks {
			for range c.times {
				for i := range c.line * c.inner {
					ids = append(ids, int32(b*c.line+i/c.inner))
				}
			}
		}
		if m := same(ids); len(m.IDs) != c.blocks*c.line {
			t.Errorf("%s: %d numbers for %d units: %d x %d", c.name, len(m.IDs), c.blocks*c.line, m.Line, m.Times)
		}
	}
}
