package wire

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/relupath/relupath/internal/lists"
)

// splice replaces data[start:end].
type splice struct {
	start, end int
	// within lists the messages that the range lies in, outermost first. It may
	// be left out when the length does not change.
	within []span
	with   rope
}

func (s *splice) delta() int64 { return s.with.size - int64(s.end-s.start) }

// enclosing is a message whose length changes.
type enclosing struct {
	span
	depth int
	// outer is the message around it, -1 for none.
	outer int
	delta int64
}

// plan adds the changes of length prefixes that splices cause, and sorts them
// all. It also returns by how much the file grows.
func plan(edits []splice) (all []splice, grows int64) {
	var messages []enclosing
	index := map[int]int{}
	for i := range edits {
		inner := -1
		for depth, m := range edits[i].within {
			k, ok := index[m.start]
			if !ok {
				k = len(messages)
				index[m.start] = k
				messages = append(messages, enclosing{span: m, depth: depth, outer: inner})
			}
			inner = k
		}
		if inner >= 0 {
			messages[inner].delta += edits[i].delta()
		} else {
			grows += edits[i].delta()
		}
	}
	all = slices.Clone(edits)
	// Inner messages first: a longer prefix lengthens the message around it.
	order := lists.Count(0, len(messages))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(messages[b].depth, messages[a].depth) })
	for _, k := range order {
		m := messages[k]
		if m.delta != 0 {
			s := splice{start: m.prefix, end: m.start}
			s.with.grow(func(b []byte) []byte { return protowire.AppendVarint(b, uint64(int64(m.len())+m.delta)) })
			all = append(all, s)
			m.delta += s.delta()
		}
		if m.outer >= 0 {
			messages[m.outer].delta += m.delta
		} else {
			grows += m.delta
		}
	}
	slices.SortStableFunc(all, func(a, b splice) int {
		// Where an edit ends a message and another follows it, the inner one
		// comes first.
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(len(b.within), len(a.within)))
	})
	return all, grows
}
