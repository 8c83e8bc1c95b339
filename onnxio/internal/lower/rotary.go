package lower

import (
	"cmp"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// rotary makes a lowerer of RotaryEmbedding: the inputs with cosines, sines and
// positions.
func rotary(cosines, sines, positions int) lowerer {
	return ofActivation(func(o *op, v *value) error {
		r := &rotation{}
		var err error
		for k, from := range []int{cosines, sines, positions} {
			if o.arg(from) == nil && k == 2 {
				continue
			}
			if r.in[k], err = o.operand(from); err != nil {
				return err
			}
		}
		x, err := o.byHeads(v, o.rotaryHeads(v, r.in[0].dims()))
		if err != nil {
			return err
		}
		if x.batchAxis() > 0 {
			return refusal.MixesBatch("it turns along the batch axis")
		}
		r.shape, r.size, r.length = x.shape, x.shape[3], x.shape[2]
		dim := cmp.Or(int(min(o.int("rotary_embedding_dim", 0), tensor.MaxElements)), r.size)
		if dim%2 != 0 || dim > r.size || dim < 0 {
			return refusal.New("", "it turns %d of %s", dim, words.Count(r.size, "number"))
		}
		r.half, r.step, r.other = dim/2, 1, dim/2
		if o.int("interleaved", 0) != 0 {
			r.step, r.other = 2, 1
		}
		if err := r.locate(v); err != nil {
			return err
		}
		turned := o.emit(&dag.Select{Index: r.partners()}, r.shape, x)
		out, err := o.combine(nil, r.times(o, x, r.in[0], 1, 1), r.times(o, turned, r.in[1], -1, 0))
		if err != nil {
			return err
		}
		if len(v.shape) == 3 {
			out = o.merged(out)
		}
		o.give(0, out)
		return nil
	})
}

// rotaryHeads is the number of heads of a value of rank 3. Operators of com.microsoft leave it out where
// the table of cosines has whole heads.
func (o *op) rotaryHeads(v *value, table []int) int {
	heads := int(min(o.int("num_heads", 0), tensor.MaxElements))
	if len(v.shape) == 3 && heads == 0 && len(table) > 0 {
		size := 2 * table[len(table)-1]
		if size > 0 && v.shape[2] != tensor.BatchDim {
			heads = v.shape[2] / size
		}
	}
	return heads
}

// rotation turns pairs of the numbers of each head by the angle of its position: of a pair (a, b) it makes
// (a cos - b sin, b cos + a sin).
type rotation struct {
	// in has the cosines, the sines and the positions, which may be absent.
	in [3]operand
	// shape is that of the value: samples, heads, length positions, size numbers.
	shape        []int
	size, length int
	// The first half numbers of pairs are step apart, each other away from its second.
	half, step, other int
	// place is the row of cosines for position t of sample b, where at reads the positions; of rows it may
	// be any of places.
	place        func(b, t int, at func(int) float64) int
	rows, places int
}

// locate finds where a position's cosines are: in a row of a table, or beside the value v.
func (r *rotation) locate(v *value) error {
	table := r.in[0].dims()
	if r.in[2].value == nil {
		switch {
		case slices.Equal(table, []int{r.shape[0], r.length, r.half}):
			r.rows = tensor.Single(r.shape[0]) * r.length
			r.place = func(b, t int, _ func(int) float64) int { return b*r.length + t }
		case slices.Equal(table, []int{1, r.length, r.half}):
			r.rows = r.length
			r.place = func(_, t int, _ func(int) float64) int { return t }
		default:
			return sumShapes(refusal.New("", "cosines of shape %s for a value of shape %s", tensor.DimString(table), tensor.DimString(v.shape)), []*value{v})
		}
		return r.matched()
	}
	p := r.in[2].dims()
	each := dag.Size(tensor.SampleShape(p))
	if len(table) != 2 || !slices.Equal(table, r.in[1].dims()) || table[0] == tensor.BatchDim {
		return refusal.New("", "tables of shapes %s and %s", tensor.DimString(table), tensor.DimString(r.in[1].dims()))
	}
	r.rows, r.places = table[0], table[0]
	switch {
	case each == 1 && r.in[2].batchAxis() < 0: // the first position
		r.place = func(_, t int, at func(int) float64) int { return int(at(0)) + t }
		r.places = max(1, table[0]-r.length+1)
	case len(p) == 2 && p[0] == r.shape[0] && p[1] == r.length:
		r.place = func(b, t int, at func(int) float64) int { return int(at(b*r.length + t)) }
	case len(p) == 2 && p[0] == 1 && p[1] == r.length:
		r.place = func(_, t int, at func(int) float64) int { return int(at(t)) }
	default:
		return sumShapes(refusal.New("", "positions of shape %s for a value of shape %s", tensor.DimString(p), tensor.DimString(v.shape)), []*value{v})
	}
	return r.matched()
}

// matched checks that the tables have one number a pair.
func (r *rotation) matched() error {
	table, sines := r.in[0].dims(), r.in[1].dims()
	if !slices.Equal(table, sines) || table[len(table)-1] != r.half {
		return refusal.New("", "cosines and sines of shapes %s and %s for %s", tensor.DimString(table), tensor.DimString(sines), words.Count(2*r.half, "number"))
	}
	return nil
}

// times multiplies x by the numbers of a table, the first of each pair times first; what is not turned by
// rest.
func (r *rotation) times(o *op, x *value, table operand, first, rest float64) *value {
	var acts []*value
	number, position := table.reader(&acts), r.in[2].reader(&acts)
	f := o.function(turns, x.elem, r.shape, func(dst []float64, in ...[]float64) {
		at := func(i int) float64 { return position(in, i) }
		for e := 0; e < len(dst); e += r.size {
			row := r.place(e/(r.size*r.length*r.shape[1]), e/r.size%r.length, at)
			for i := range r.size {
				dst[e+i] = rest
			}
			for k := range r.half {
				y := math.NaN()
				if row >= 0 && row < r.rows {
					y = number(in, row*r.half+k)
				}
				dst[e+k*r.step], dst[e+k*r.step+r.other] = first*y, y
			}
		}
	}, acts...)
	if table.stored != nil && len(acts) > 0 {
		o.nodes[f.node].Op.(*dag.Func).Extent = r.places
	}
	return o.as(dag.Product, o.function(turns, x.elem, r.shape, func(dst []float64, in ...[]float64) {
		for e, y := range in[0] {
			dst[e] = y * in[1][e]
		}
	}, x, f)).formed(o, dag.Times{})
}

// partners lists the other number of each pair; -1 for what is not turned.
func (r *rotation) partners() []int32 {
	partner := slices.Repeat([]int32{-1}, dag.Size(tensor.SampleShape(r.shape)))
	for e := 0; e < len(partner); e += r.size {
		for k := range r.half {
			i := e + k*r.step
			partner[i], partner[i+r.other] = int32(i+r.other), int32(i)
		}
	}
	return partner
}

// operand is what a function reads: a value, or stored numbers that are a part of it.
type operand struct {
	*value
	stored *dag.Vector
}

func (o *op) operand(k int) (operand, error) {
	v, err := o.need(k)
	if err != nil || !v.constant() {
		return operand{value: v}, err
	}
	if v.con.Kind != tensor.Floating {
		f, err := v.con.Float64s()
		if err != nil {
			return operand{}, err
		}
		v = &value{con: tensor.NewFloats(dag.Float64, v.con.Dims, f)}
	}
	vec, err := o.vectorOf(v.con, nil, v.con.Size())
	return operand{v, vec}, err
}

// reader reads one of an operand's numbers, where in are those of acts, to which it adds what
// varies.
func (x operand) reader(acts *[]*value) func(in [][]float64, i int) float64 {
	switch {
	case x.stored != nil:
		return func(_ [][]float64, i int) float64 { return x.stored.At(i) }
	case x.value == nil:
		return nil
	}
	k := len(*acts)
	*acts = append(*acts, x.value)
	return func(in [][]float64, i int) float64 { return in[k][i] }
}
