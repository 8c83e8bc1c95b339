package sums

import (
	"math/bits"
	"slices"
	"sync"

	"github.com/relupath/relupath/analysis/kernel"
)

// Memory is where the numbers of one pass over a network lie: all but short lists, which the heap has.
//
// A step of the pass, a node, takes room for its value and for what it needs on the way. The pass says which
// values the step reads as their last reader (Drop), then what the node's value is (Hold), then that the step has
// ended (Settle). What no value holds then is written over by later steps, and a step may write
// over what only it has: memory owns no number that outlives the pass. Nil has everything on the heap, and reuses
// nothing.
type Memory struct {
	mu    sync.Mutex
	total int
	free  []extent           // in the order of chunks and of places, none touching another
	lent  map[*float64]*loan // by their first number
	step  []*loan            // taken or dropped since the last Settle
	count int                // of chunks
}

// extent is the numbers lo to hi of a chunk.
type extent struct {
	number int
	chunk  []float64
	lo, hi int
}

// loan is an extent in use, with the number of values that have it.
type loan struct {
	extent
	holders int
}

// short is the length of lists that are left to the heap, line that of a line of a cache.
var short = 512

const line = 8

// The first chunk has firstChunk numbers, those behind it as many as all before up to mostChunk, or what is
// asked for.
const (
	firstChunk = 1 << 17
	mostChunk  = 1 << 21
)

// NewMemory returns memory for one pass.
func NewMemory() *Memory { return &Memory{lent: map[*float64]*loan{}} }

// room returns n numbers of any value, those of the step unless the node's value holds them.
func (m *Memory) room(n int) []float64 {
	if m == nil || n < short {
		return make([]float64, n)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	size := (n + line - 1) / line * line
	at := slices.IndexFunc(m.free, func(e extent) bool { return e.hi-e.lo >= size })
	if at < 0 {
		all := max(size, min(max(m.total, firstChunk), mostChunk))
		at = len(m.free)
		m.free = append(m.free, extent{m.count, kernel.LargePages(make([]float64, all)), 0, all})
		m.total += all
		m.count++
	}
	l := &loan{extent: m.free[at]}
	l.hi = l.lo + size
	if m.free[at].lo = l.hi; m.free[at].lo == m.free[at].hi {
		m.free = slices.Delete(m.free, at, at+1)
	}
	g := l.chunk[l.lo : l.lo+n : l.lo+n]
	m.lent[&g[0]] = l
	m.step = append(m.step, l)
	return g
}

// zeros is room with zeros.
func (m *Memory) zeros(n int) []float64 {
	g := m.room(n)
	if m != nil && n >= short {
		clear(g)
	}
	return g
}

// loose reports whether no value holds g any more, so that the step may write over it.
func (m *Memory) loose(g []float64) bool {
	l := m.find(g)
	return l != nil && l.holders == 0
}

// find returns the loan of a list, nil for one of the heap.
func (m *Memory) find(g []float64) *loan {
	if m == nil || len(g) < short {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lent[&g[0]]
}

// Hold says that a node's value has these numbers, which another's may have too.
func (m *Memory) Hold(ps []Path) {
	for _, p := range ps {
		if l := m.find(p.g); l != nil {
			l.holders++
		}
	}
}

// Drop says that a node's value has these numbers no longer than until Settle.
func (m *Memory) Drop(ps []Path) {
	for _, p := range ps {
		if l := m.find(p.g); l != nil {
			if l.holders--; l.holders == 0 {
				m.step = append(m.step, l)
			}
		}
	}
}

// Settle ends a step.
func (m *Memory) Settle() {
	if m == nil {
		return
	}
	for _, l := range m.step {
		if l.holders == 0 {
			m.release(l)
		}
	}
	m.step = m.step[:0]
}

// Own returns the paths with numbers of their own on the heap, to outlive the pass.
func (m *Memory) Own(ps []Path) []Path {
	out := slices.Clone(ps)
	for k, p := range out {
		if m.find(p.g) != nil {
			out[k].g = slices.Clone(p.g)
		}
	}
	return out
}

// poison says that what is freed is written over at once, for tests.
var poison func(g []float64)

// release makes a loan's room free.
func (m *Memory) release(l *loan) {
	e := l.extent
	delete(m.lent, &e.chunk[e.lo])
	if poison != nil {
		poison(e.chunk[e.lo:e.hi])
	}
	at, _ := slices.BinarySearchFunc(m.free, e, func(a, b extent) int {
		if a.number != b.number {
			return a.number - b.number
		}
		return a.lo - b.lo
	})
	if at < len(m.free) && m.free[at].number == e.number && m.free[at].lo == e.hi {
		e.hi = m.free[at].hi
		m.free = slices.Delete(m.free, at, at+1)
	}
	if at > 0 && m.free[at-1].number == e.number && m.free[at-1].hi == e.lo {
		m.free[at-1].hi = e.hi
		return
	}
	m.free = slices.Insert(m.free, at, e)
}

// scratch has room for blocks, gathered for what many blocks share: a network's layers use them in turn.
var scratch, gathered pool

type pool struct{ sync.Pool }

// room returns n numbers of any value, to be put back.
func (s *pool) room(n int) *[]float64 {
	p, ok := s.Get().(*[]float64)
	if !ok || cap(*p) < n {
		size := 1 << bits.Len(uint(n)) // so that few are too small for the next
		p = new(kernel.LargePages(make([]float64, size)))
	}
	*p = (*p)[:n]
	return p
}
