package lower

import (
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
	return func(o *op) error {
		v, err := o.activationOperand(0)
		if err != nil {
			return err
		}
		rank, x := len(v.shape), v
		heads := int(min(o.int("num_heads", 0), tensor.MaxElements))
		dim := int(min(o.int("rotary_embedding_dim", 0), tensor.MaxElements))
		var in [3]operand
		for k, from := range []int{cosines, sines, positions} {
			if o.arg(from) == nil && k == 2 {
				continue
			}
			if in[k], err = o.operand(from); err != nil {
				return err
			}
		}
		if rank == 3 && heads == 0 && len(in[0].dims()) > 0 {
			// com.microsoft leaves it out where the table has whole heads.
			size := 2 * in[0].dims()[len(in[0].dims())-1]
			if size > 0 && v.shape[2] != tensor.BatchDim {
				heads = v.shape[2] / size
			}
		}
		if x, err = o.byHeads(v, heads); err != nil {
			return err
		}
		s := x.shape
		if x.batchAxis() > 0 {
			return refusal.MixesBatch("it turns along the batch axis")
		}
		size, length, samples := s[3], s[2], tensor.Single(s[0])
		if dim == 0 {
			dim = size
		}
		if dim%2 != 0 || dim > size || dim < 0 {
			return refusal.New("", "it turns %d of %s", dim, words.Count(size, "number"))
		}
		half, table := dim/2, in[0].dims()
		// Where a position's cosines are: in a row of a table, or beside the value.
		place := func(b, t int, _ func(int) float64) int { return b*length + t }
		rows, places := 0, 0
		if in[2].value != nil {
			p := in[2].dims()
			each := dag.Size(tensor.SampleShape(p))
			switch {
			case len(table) != 2 || !slices.Equal(table, in[1].dims()) || table[0] == tensor.BatchDim:
				return refusal.New("", "tables of shapes %s and %s", tensor.DimString(table), tensor.DimString(in[1].dims()))
			case each == 1 && in[2].batchAxis() < 0: // the first position
				place = func(_, t int, at func(int) float64) int { return int(at(0)) + t }
				places = max(1, table[0]-length+1)
			case len(p) == 2 && p[0] == s[0] && p[1] == length:
				place = func(b, t int, at func(int) float64) int { return int(at(b*length + t)) }
			case len(p) == 2 && p[0] == 1 && p[1] == length:
				place = func(_, t int, at func(int) float64) int { return int(at(t)) }
			default:
				return sumShapes(refusal.New("", "positions of shape %s for a value of shape %s", tensor.DimString(p), tensor.DimString(v.shape)), []*value{v})
			}
			rows = table[0]
			if places == 0 {
				places = rows
			}
		} else {
			want := []int{s[0], length, half}
			switch {
			case slices.Equal(table, want):
				rows = samples * length
			case slices.Equal(table, []int{1, length, half}):
				rows = length
				place = func(_, t int, _ func(int) float64) int { return t }
			default:
				return sumShapes(refusal.New("", "cosines of shape %s for a value of shape %s", tensor.DimString(table), tensor.DimString(v.shape)), []*value{v})
			}
		}
		if !slices.Equal(table, in[1].dims()) || table[len(table)-1] != half {
			return refusal.New("", "cosines and sines of shapes %s and %s for %s", tensor.DimString(table), tensor.DimString(in[1].dims()), words.Count(dim, "number"))
		}
		step, other := 1, half
		if o.int("interleaved", 0) != 0 {
			step, other = 2, 1
		}
		// The result is x times cosines and the other of each pair times sines, the first's with
		// a sign; what is not turned is x times 1.
		times := func(x *value, table operand, first, rest float64) *value {
			var acts []*value
			number, position := table.reader(&acts), in[2].reader(&acts)
			f := o.function(turns, x.elem, s, func(dst []float64, in ...[]float64) {
				at := func(i int) float64 { return position(in, i) }
				for e := 0; e < len(dst); e += size {
					row := place(e/(size*length*s[1]), e/size%length, at)
					for i := range size {
						dst[e+i] = rest
					}
					for k := range half {
						y := math.NaN()
						if row >= 0 && row < rows {
							y = number(in, row*half+k)
						}
						dst[e+k*step], dst[e+k*step+other] = first*y, y
					}
				}
			}, acts...)
			if table.stored != nil && len(acts) > 0 {
				o.nodes[f.node].Op.(*dag.Func).Extent = places
			}
			return o.as(dag.Product, o.function(turns, x.elem, s, func(dst []float64, in ...[]float64) {
				for e, y := range in[0] {
					dst[e] = y * in[1][e]
				}
			}, x, f)).formed(o, dag.Times{})
		}
		partner := make([]int32, dag.Size(tensor.SampleShape(s)))
		for e := 0; e < len(partner); e += size {
			for i := range size {
				partner[e+i] = -1
			}
			for k := range half {
				i := e + k*step
				partner[i], partner[i+other] = int32(i+other), int32(i)
			}
		}
		turned := o.emit(&dag.Select{Index: partner}, s, x)
		out, err := o.combine(nil, times(x, in[0], 1, 1), times(turned, in[1], -1, 0))
		if err != nil {
			return err
		}
		if rank == 3 {
			out = o.merged(out)
		}
		o.give(0, out)
		return nil
	}
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
