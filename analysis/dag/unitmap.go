package dag

// UnitMap says which group each element of a node's value belongs to. IDs is made of
// lines of Line groups, each of which is there Times times: with k = e/Inner, element e is in
// group IDs[k/(Line Times) Line + k mod Line]. That is how units lie in a value and in its
// transposes, as of the heads of an attention. Where Times is 0 there is one line, for
// all elements: IDs[k mod len(IDs)]. NoGroup marks elements that are zero by construction
// (padding) and follow any factor.
type UnitMap struct {
	IDs         []int32
	Inner       int
	Line, Times int
}

// NoGroup is the group of an element that is always zero.
const NoGroup = int32(-1)

// At returns the group of element e.
func (m *UnitMap) At(e int) int32 {
	k := e / m.Inner
	if m.Times == 0 {
		return m.IDs[k%len(m.IDs)]
	}
	return m.IDs[k/(m.Line*m.Times)*m.Line+k%m.Line]
}

// each calls do with the groups of the elements 0 to n-1 of a value, in order and some at a time, from element e on:
// without the divisions of At. do must not keep them.
func (m *UnitMap) each(n int, do func(e int, ids []int32)) {
	line, times := m.Line, m.Times
	if times == 0 {
		line, times = len(m.IDs), n
	}
	var room [256]int32
	e, held := 0, room[:0] // groups of the elements before e that do does not have
	for at := 0; e < n; at += line {
		for t := 0; t < times && e < n; t++ {
			ids := m.IDs[at:][:line]
			if m.Inner == 1 {
				ids = ids[:min(line, n-e)]
				do(e, ids)
				e += len(ids)
				continue
			}
			for _, id := range ids {
				for left := min(m.Inner, n-e); left > 0; {
					some := min(left, len(room)-len(held))
					for range some {
						held = append(held, id)
					}
					e, left = e+some, left-some
					if len(held) == len(room) {
						do(e-len(held), held)
						held = held[:0]
					}
				}
			}
		}
	}
	if len(held) > 0 {
		do(e-len(held), held)
	}
}

// lies reports whether the groups are those of an axis, one an index.
func (m *UnitMap) lies(a Axis) bool { return m.Times == 0 && len(m.IDs) == a.N && m.Inner == a.Inner }

// alike reports whether the same elements share a place in IDs.
func (m *UnitMap) alike(o *UnitMap) bool {
	return len(m.IDs) == len(o.IDs) && m.Inner == o.Inner && m.Line == o.Line && m.Times == o.Times
}

// walk calls do with the index and the group of each element of an axis, in order; of neighbours that are alike in both
// with the first alone.
func (a Axis) walk(m *UnitMap, do func(i int, id int32)) {
	i, left, old := 0, a.Inner, NoGroup-1
	m.each(a.Len(), func(_ int, ids []int32) {
		for _, id := range ids {
			if id != old {
				do(i, id)
			}
			old = id
			if left--; left == 0 {
				left, old = a.Inner, NoGroup-1
				if i++; i == a.N {
					i = 0
				}
			}
		}
	})
}

// compress is the map of a list of groups, one an element: it finds the longest run length
// that the list is made of, and lines that repeat.
func compress(ids []int32) UnitMap {
	if len(ids) == 0 {
		return UnitMap{IDs: []int32{NoGroup}, Inner: 1}
	}
	inner, start := 0, 0
	for e := 1; e <= len(ids) && inner != 1; e++ {
		if e == len(ids) || ids[e] != ids[start] {
			inner = gcd(inner, e-start)
			start = e
		}
	}
	n := len(ids) / inner
	at := func(k int) int32 { return ids[k*inner] }
	line, times := lines(n, at)
	if inner == 1 && times == 1 {
		return UnitMap{IDs: ids, Inner: 1}
	}
	out := UnitMap{IDs: make([]int32, 0, n/times), Inner: inner}
	if times > 1 && line*times < n {
		out.Line, out.Times = line, times
	}
	for k := 0; k < n; k += line * times {
		for i := range line {
			out.IDs = append(out.IDs, at(k+i))
		}
	}
	return out
}

// lines finds the line that a list of n numbers begins with and repeats: the list is made
// of lines of that length, each of which is there so many times.
func lines(n int, at func(int) int32) (line, times int) {
	for line, tries := 1, 16; line <= n/2 && tries > 0; line++ {
		if n%line != 0 || at(line) != at(0) {
			continue
		}
		tries--
		same := 0 // numbers that are there again a line further
		for same+line < n && at(same) == at(same+line) {
			same++
		}
		times = same/line + 1
		if times == 1 || n%(line*times) != 0 {
			continue
		}
		k := line * times
		for k < n && (k%(line*times) < line || at(k) == at(k-line)) {
			k++
		}
		if k == n {
			return line, times
		}
	}
	return n, 1
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
