package cuda

import (
	"github.com/relupath/relupath/finetune/internal/program"
)

// Resident is a program whose stored numbers lie on a device.
type Resident[T program.Float] struct {
	Device
	Prog *program.Program[T]
	// Tensors are the places of the stored tensors.
	Tensors []Ptr
}

// Place opens the device and gives it the tensors of a program.
func Place[T program.Float](prog *program.Program[T]) (*Resident[T], error) {
	dev, err := Open(8 * Bytes[T](1))
	if err != nil {
		return nil, err
	}
	r := &Resident[T]{Device: dev, Prog: prog}
	dev.Enter()
	defer dev.Leave()
	for _, t := range prog.Tensors {
		r.Tensors = append(r.Tensors, Upload(dev, t.Data))
	}
	return r, nil
}

// Stage is a stage of a layer: a vector that is added, or multiplied by.
type Stage struct {
	V   *program.Vector
	Mul bool
}

// Stages makes the table of some stages.
func (r *Resident[T]) Stages(stages ...Stage) Ptr {
	var words []uint64
	for _, s := range stages {
		theta, length, mul := Ptr(0), 0, uint64(0)
		if t := s.V.Tensor; t >= 0 {
			theta, length = r.Tensors[t], len(r.Prog.Tensors[t].Data)
		}
		if s.Mul {
			mul = 1
		}
		words = append(words, theta, Upload(r, s.V.Index), Upload(r, s.V.Coef), uint64(length), uint64(len(s.V.Coef)), mul)
	}
	return Upload(r, words)
}

// Links lists what each element of a result is the sum of: elements
// List[Start[o]:Start[o+1]] of an operand, each times its weight; nil is ones.
type Links struct {
	Start, List []int32
	Weight      []float64
}

// Picked are the links of a reindexing: element index[o], nothing for -1.
func Picked(index []int32) Links {
	t := Links{Start: []int32{0}}
	for _, at := range index {
		if at >= 0 {
			t.List = append(t.List, at)
		}
		t.Start = append(t.Start, int32(len(t.List)))
	}
	return t
}

// Serves lists, for each of the numbers of a tensor, the units of a vector that
// it serves, or where each is at, the elements of a value of so many.
func Serves(v *program.Vector, length, elements int) Links {
	index := make([]int32, elements)
	for e := range index {
		index[e] = int32(v.Element(v.Axis.At(e), length))
	}
	return Picked(index).Transposed(length)
}

// Transposed lists, for each of n elements of the operand, the results that have
// it, in order.
func (t Links) Transposed(n int) Links {
	next := make([]int32, n+1)
	for _, at := range t.List {
		next[at+1]++
	}
	for k := range n {
		next[k+1] += next[k]
	}
	out := Links{Start: append([]int32(nil), next...), List: make([]int32, len(t.List))}
	if t.Weight != nil {
		out.Weight = make([]float64, len(t.List))
	}
	for o := range len(t.Start) - 1 {
		for k := t.Start[o]; k < t.Start[o+1]; k++ {
			to := &next[t.List[k]]
			out.List[*to] = int32(o)
			if t.Weight != nil {
				out.Weight[*to] = t.Weight[k]
			}
			*to++
		}
	}
	return out
}

// Table is links on a device.
type Table struct{ Start, List, Weight Ptr }

// Table uploads links.
func (r *Resident[T]) Table(t Links) Table {
	return Table{Upload(r, t.Start), Upload(r, t.List), Upload(r, t.Weight)}
}

// Windows are the links of windows, with a weight for each result; nil is ones.
func Windows(start, at []int32, weight []float64) Links {
	t := Links{Start: start, List: at}
	for o, w := range weight {
		for range start[o+1] - start[o] {
			t.Weight = append(t.Weight, w)
		}
	}
	return t
}

// Reads are the links of a convolution's operand: of each position, the pairs of
// kernel and output position, numbered as in its table, that read it.
func Reads(c *program.Conv) Links { return Picked(c.Table).Transposed(c.InLen) }
