package dag

import (
	"fmt"
	"slices"
)

// Func implements Meaning: operands and value of a function are as they are, but for
// products. Where one operand is as it is, the value has the factors of the other; where
// both are free the second is pinned, or in a matrix product has 1 over the factors of the
// first.
func (s *grouper) Func(nd *Node, f *Func, xs []UnitMap) UnitMap {
	if nd.Zone != Between {
		return s.Input(nd)
	}
	carry := func(k int) {
		if !s.inputs(&xs[k]) {
			s.carries[nd.ID] = append(s.carries[nd.ID], k)
		}
	}
	switch m := f.Form.(type) {
	case Times:
		k := 0
		if !s.inputs(&xs[1]) && s.inputs(&xs[0]) {
			k = 1
		}
		carry(k)
		return xs[k]
	case Over:
		carry(0)
		return xs[0]
	case *Matrices:
		switch {
		case s.inputs(&xs[0]):
			carry(1)
			return s.product(m, &xs[1], false)
		case s.inputs(&xs[1]):
			carry(0)
			return s.product(m, &xs[0], true)
		}
		carry(0)
		carry(1)
		s.contract(m, &xs[0], &xs[1])
	}
	return s.Input(nd)
}

// inputs reports whether every element of a value is as it is.
func (s *grouper) inputs(m *UnitMap) bool {
	return !slices.ContainsFunc(m.IDs, func(id int32) bool { return id != NoGroup && s.find(id) != InputGroup })
}

// product is the value of matrix products of which one factor is as it is. x is the
// other, the left or the right one: its elements are tied along the sum, and each row
// or column of the value has their factor.
func (s *grouper) product(m *Matrices, x *UnitMap, left bool) UnitMap {
	which, size, lines := m.Right, m.K*m.N, m.N
	if left {
		which, size, lines = m.Left, m.M*m.K, m.M
	}
	ids := make([]int32, 0, len(which)*m.M*m.N)
	tied := make([]int32, lines)
	for _, w := range which {
		for line := range tied {
			tied[line] = NoGroup
			for k := range m.K {
				at := k*m.N + line
				if left {
					at = line*m.K + k
				}
				tied[line] = s.union(tied[line], x.At(int(w)*size+at))
			}
		}
		for i := range m.M {
			if !left {
				ids = append(ids, tied...)
				continue
			}
			for range m.N {
				ids = append(ids, tied[i])
			}
		}
	}
	return compress(ids)
}

// contract makes the factors of both sides of matrix products inverse along the sum, so
// that the value is as it is.
func (s *grouper) contract(m *Matrices, a, b *UnitMap) {
	for w := range m.Left {
		for k := range m.K {
			left, right := NoGroup, NoGroup
			for i := range m.M {
				left = s.union(left, a.At((int(m.Left[w])*m.M+i)*m.K+k))
			}
			for j := range m.N {
				right = s.union(right, b.At((int(m.Right[w])*m.K+k)*m.N+j))
			}
			if left != NoGroup && right != NoGroup {
				s.tie(left, right, true)
			}
		}
	}
}

// pinRead pins units that meet others in a product and that weights read too.
func (s *grouper) pinRead() {
	flipped := map[int32]bool{}
	for i := range s.parent {
		if root, flip := s.root(int32(i)); flip {
			flipped[root] = true
		}
	}
	if len(flipped) == 0 {
		return
	}
	for nd, l := range Each[*Linear](s.net) {
		if !l.Free() {
			continue
		}
		for _, id := range s.cols[nd.ID] {
			if id != NoGroup && flipped[s.find(id)] {
				s.pinIDs([]int32{id}, fmt.Sprintf("it meets others in a product, and %s reads it", nd.Label()))
			}
		}
	}
}
