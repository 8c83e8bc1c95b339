package dag

import (
	"math/rand/v2"
	"testing"
)

// TestEach: the groups that each and walk give are those of At, one after the other.
func TestEach(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		m := UnitMap{Inner: 1 + rng.IntN(2)*rng.IntN(600)}
		if rng.IntN(2) == 0 {
			m.Line, m.Times = 1+rng.IntN(5), 1+rng.IntN(4)
		}
		for range max(m.Line, 1) * (1 + rng.IntN(9)) {
			m.IDs = append(m.IDs, NoGroup+int32(rng.IntN(4)))
		}
		n := len(m.IDs) * m.Inner * max(m.Times, 1)
		if m.Times == 0 {
			n *= 1 + rng.IntN(3)
		}
		some := rng.IntN(n + 1)
		next := 0
		m.each(some, func(e int, ids []int32) {
			if e != next {
				t.Fatalf("element %d comes after %d", e, next)
			}
			for _, id := range ids {
				if want := m.At(next); id != want {
					t.Fatalf("%+v: element %d is in group %d, not %d", m, next, id, want)
				}
				next++
			}
		})
		if next != some {
			t.Fatalf("%+v: %d elements of %d", m, next, some)
		}

		a := Axis{Outer: 1, N: 1, Inner: n}
		for f := 2; f <= a.Inner; f++ {
			for a.Inner%f == 0 {
				a.Inner /= f
				if rng.IntN(2) == 0 {
					a.N *= f
				} else {
					a.Outer *= f
				}
			}
			if rng.IntN(3) == 0 {
				break
			}
		}
		type pair struct {
			i  int
			id int32
		}
		got, want := map[pair]bool{}, map[pair]bool{}
		a.walk(&m, func(i int, id int32) { got[pair{i, id}] = true })
		for e := range n {
			want[pair{a.At(e), m.At(e)}] = true
		}
		if len(got) != len(want) {
			t.Fatalf("%+v along %+v: %d pairs, not %d", m, a, len(got), len(want))
		}
		for p := range got {
			if !want[p] {
				t.Fatalf("%+v along %+v: no element has %+v", m, a, p)
			}
		}
	}
}
