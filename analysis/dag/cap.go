package dag

import (
	"fmt"
	"math"
	"slices"
)

// Cap bounds each element: Lo <= y <= Hi, min(max(x, Lo), Hi), with Lo <= 0 <= Hi; or,
// with Jump, x where x > Lo and 0 elsewhere, Lo >= 0. It is positively homogeneous in
// x and the bounds together, so rescaling multiplies the bounds of a unit by its
// factor; a path goes through it with its slope, 1.
type Cap struct {
	// Lo and Hi have one value, or one per element; infinite ones bound nothing.
	Lo, Hi []float64
	Jump   bool
	// Type is the type that the bounds are stored in: rescaled ones are rounded to it.
	Type DType
	// Storage says how rescaled bounds can be stored, Reason why they cannot.
	Storage BoundStorage
	Reason  string
	// Site belongs to the reader that made the Cap (onnxio). Opaque here.
	Site any
}

// BoundStorage says what rescaled bounds of a Cap can be stored.
type BoundStorage uint8

// The ways of storing bounds.
const (
	// BoundsByElement: each element has its own.
	BoundsByElement BoundStorage = iota
	// BoundsInCommon: one number for all elements, so that these are tied.
	BoundsInCommon
	// BoundsFixed: none other, so that the elements are pinned.
	BoundsFixed
)

// scales reports whether rescaling changes a bound: 0 and infinity stay.
func (c *Cap) scales() bool {
	moves := func(x float64) bool { return x != 0 && !math.IsInf(x, 0) }
	return slices.ContainsFunc(c.Lo, moves) || slices.ContainsFunc(c.Hi, moves)
}

// rescaled returns the cap of n elements with bounds multiplied by the factors of the
// groups that the elements are in; itself where all are 1.
func (c *Cap) rescaled(n int, m *UnitMap, factors []float64) *Cap {
	common, found, same := 1.0, false, true
	for _, id := range m.IDs {
		if id == NoGroup {
			continue
		}
		same = same && (!found || factors[id] == common)
		common, found = factors[id], true
	}
	if !c.scales() || same && common == 1 {
		return c
	}
	scale := func(b []float64) []float64 {
		if same && len(b) == 1 {
			return []float64{c.round(b[0] * common)}
		}
		out := make([]float64, n)
		for e := range out {
			f := 1.0
			if id := m.At(e); id != NoGroup {
				f = factors[id]
			}
			out[e] = c.round(bound(b, e) * f)
		}
		return out
	}
	out := *c
	out.Lo, out.Hi = scale(c.Lo), scale(c.Hi)
	return &out
}

// as returns c with bounds of another stored type.
func (c *Cap) as(t DType) *Cap {
	out := *c
	out.Type = t
	return &out
}

func (c *Cap) round(x float64) float64 {
	if c.Type == Float64 {
		return x
	}
	return float64(round(c.Type, x))
}

// Bounds returns the bounds of element i.
func (c *Cap) Bounds(i int) (lo, hi float64) { return bound(c.Lo, i), bound(c.Hi, i) }

func bound(b []float64, i int) float64 {
	if len(b) == 1 {
		return b[0]
	}
	return b[i]
}

// Apply implements Unary.
func (c *Cap) Apply(i int, x float64) float64 {
	if lo := bound(c.Lo, i); c.Jump {
		if x <= lo {
			return 0
		}
		return x
	} else if x < lo {
		return lo
	}
	if hi := bound(c.Hi, i); x > hi {
		return hi
	}
	return x
}

// Gains implements Unary: the slope is 1, and 0 beyond the bounds.
func (c *Cap) Gains() []float64 { return nil }

// Identity implements Unary.
func (c *Cap) Identity() bool {
	finite := func(x float64) bool { return !math.IsInf(x, 0) }
	return !c.Jump && !slices.ContainsFunc(c.Lo, finite) && !slices.ContainsFunc(c.Hi, finite)
}

// tie lets a unit's bounds take its factor as far as they can be stored.
func (c *Cap) tie(s *grouper, nd *Node, x *UnitMap) {
	switch {
	case !c.scales() || c.Storage == BoundsByElement:
	case c.Storage == BoundsInCommon:
		tied := NoGroup
		for _, id := range x.IDs {
			tied = s.union(tied, id)
		}
	default:
		s.pinAll(x, fmt.Sprintf("the bounds of %s cannot be stored: %s", nd.Label(), c.Reason))
	}
}

func (c *Cap) bounds() (lo, hi float64, ok bool) {
	if len(c.Lo) != 1 || len(c.Hi) != 1 || c.Jump {
		return math.Inf(-1), math.Inf(1), false
	}
	return c.Lo[0], c.Hi[0], true
}

func (c *Cap) steep() string {
	if c.Jump {
		return ": it jumps"
	}
	return ""
}

func (c *Cap) check(n *Node, in []*Node) error {
	if err := operands(in, 1, n.Len()); err != nil {
		return err
	}
	for _, b := range [][]float64{c.Lo, c.Hi} {
		if len(b) != 1 && len(b) != n.Len() {
			return fmt.Errorf("%d bounds for %d elements", len(b), n.Len())
		}
	}
	for i := range max(len(c.Lo), len(c.Hi)) {
		lo, hi := bound(c.Lo, i), bound(c.Hi, i)
		if c.Jump && !(lo >= 0 && math.IsInf(hi, 1)) || !c.Jump && !(lo <= 0 && hi >= 0) {
			return fmt.Errorf("bounds %v and %v of element %d: want 0 between them", lo, hi, i)
		}
	}
	return nil
}

func (c *Cap) describe() string {
	switch {
	case len(c.Lo) != 1 || len(c.Hi) != 1:
		return "Cap by element"
	case c.Jump:
		return fmt.Sprintf("Threshold %g", c.Lo[0])
	}
	return fmt.Sprintf("Cap %g..%g", c.Lo[0], c.Hi[0])
}

// Bounds returns the bounds that a node puts on each element, where it does nothing else
// and they are the same for all: a ReLU bounds from below.
func (n *Node) Bounds() (lo, hi float64, ok bool) {
	if op, ok := n.Op.(interface {
		bounds() (lo, hi float64, ok bool)
	}); ok {
		return op.bounds()
	}
	return math.Inf(-1), math.Inf(1), false
}
