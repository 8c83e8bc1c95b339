package dag

import (
	"fmt"
	"slices"

	"github.com/relupath/relupath/internal/lists"
)

// Trait is one thing that makes a node what it is, apart from its kind, its operands and
// its numbers. Two nodes of a kind have traits of the same names in the same order.
type Trait struct {
	// Name says what it is: "window".
	Name string
	// Value is what reflect.DeepEqual compares.
	Value any
}

// Traits lists what two nodes of a kind must agree in to differ in numbers alone.
func (n *Node) Traits() []Trait { return n.Op.traits(n) }

func (Input) traits(*Node) []Trait       { return nil }
func (*Concat) traits(*Node) []Trait     { return nil }
func (*Activation) traits(*Node) []Trait { return nil }
func (c *Cap) traits(*Node) []Trait      { return []Trait{{"form of bounds", c.Jump}} }
func (*Func) traits(n *Node) []Trait     { return []Trait{{"operator", n.Source}} }

func (a *Add) traits(n *Node) []Trait {
	sign := a.Sign
	if sign == nil {
		sign = slices.Repeat([]float64{1}, len(n.In))
	}
	return []Trait{{"sign of an operand", sign}}
}

func (s *Select) traits(n *Node) []Trait {
	index := s.Index
	if index == nil {
		index = lists.Count[int32](0, n.Len())
	}
	return []Trait{{"order of elements", index}}
}

func (p *Pool) traits(*Node) []Trait {
	if p.Window == nil {
		return []Trait{{"number of channels", p.Channels}, {"window", ""}}
	}
	return []Trait{{"number of channels", p.Channels}, {"window", p.Window.trait()}}
}

func (l *Linear) traits(*Node) []Trait {
	out := []Trait{{"number of units", l.Rows()}, {"layout of units", l.Out()}, {"kind of weights, stored or fixed", l.Free()}}
	if l.Map == nil {
		return out
	}
	in := l.Map.In()
	return append(append(out, Trait{"number of inputs", in.N}, Trait{"layout of inputs", in}), l.Map.traits()...)
}

func (d *Dense) traits() []Trait    { return nil }
func (d *Diagonal) traits() []Trait { return nil }
func (v *Average) traits() []Trait  { return []Trait{{"window", v.Window.trait()}} }

func (c *Conv) traits() []Trait {
	return []Trait{{"number of groups", c.Groups}, {"direction", c.Transposed}, {"window", c.Window.trait()}}
}

// trait is what makes two windows the same; extra positions are as good as padding.
func (w *Window) trait() string {
	return fmt.Sprint(w.In, w.Out(), w.Kernel, w.Stride, w.Dilation, w.Before)
}
