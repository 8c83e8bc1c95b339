package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
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
		in := []*value{nil}
		for _, k := range []int{cosines, sines, positions} {
			if o.arg(k) == nil && k == positions {
				continue
			}
			w, err := o.activationOperand(k)
			if err != nil {
				return err
			}
			in = append(in, w)
		}
		if rank == 3 && heads == 0 && len(in[1].shape) > 0 {
			// com.microsoft leaves it out where the table has whole heads.
			size := 2 * in[1].shape[len(in[1].shape)-1]
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
			return refusal.New("", "it turns %d of %d numbers", dim, size)
		}
		half := dim / 2
		// Where a position's cosines are: in a row of a table, or beside the value.
		place := func(b, t int, _ [][]float64) int { return b*length + t }
		rows := 0
		if len(in) == 4 {
			p := in[3].shape
			each := dag.Size(tensor.SampleShape(p))
			switch {
			case len(in[1].shape) != 2 || !slices.Equal(in[1].shape, in[2].shape) || in[1].shape[0] == tensor.BatchDim:
				return refusal.New("", "tables of shapes %s and %s", tensor.DimString(in[1].shape), tensor.DimString(in[2].shape))
			case each == 1 && in[3].batchAxis() < 0: // the first position
				place = func(_, t int, in [][]float64) int { return int(in[3][0]) + t }
			case len(p) == 2 && p[0] == s[0] && p[1] == length:
				place = func(b, t int, in [][]float64) int { return int(in[3][b*length+t]) }
			case len(p) == 2 && p[0] == 1 && p[1] == length:
				place = func(_, t int, in [][]float64) int { return int(in[3][t]) }
			default:
				return sumShapes(refusal.New("", "positions of shape %s for a value of shape %s", tensor.DimString(p), tensor.DimString(v.shape)), []*value{v})
			}
			rows = in[1].shape[0]
		} else {
			want := []int{s[0], length, half}
			switch {
			case slices.Equal(in[1].shape, want):
				rows = samples * length
			case slices.Equal(in[1].shape, []int{1, length, half}):
				rows = length
				place = func(_, t int, _ [][]float64) int { return t }
			default:
				return sumShapes(refusal.New("", "cosines of shape %s for a value of shape %s", tensor.DimString(in[1].shape), tensor.DimString(v.shape)), []*value{v})
			}
		}
		if !slices.Equal(in[1].shape, in[2].shape) || in[1].shape[len(in[1].shape)-1] != half {
			return refusal.New("", "cosines and sines of shapes %s and %s for %d numbers", tensor.DimString(in[1].shape), tensor.DimString(in[2].shape), dim)
		}
		in[0] = x
		step, other := 1, half
		if o.int("interleaved", 0) != 0 {
			step, other = 2, 1
		}
		out := o.as(dag.Product, o.function("it turns pairs by given angles", x.elem, s, func(dst []float64, in ...[]float64) {
			copy(dst, in[0])
			for e := 0; e < len(dst); e += size {
				t, b := e/size%length, e/(size*length*s[1])
				row := place(b, t, in)
				for k := range half {
					i := e + k*step
					if row < 0 || row >= rows {
						dst[i], dst[i+other] = math.NaN(), math.NaN()
						continue
					}
					c, n := in[1][row*half+k], in[2][row*half+k]
					dst[i], dst[i+other] = c*in[0][i]-n*in[0][i+other], n*in[0][i]+c*in[0][i+other]
				}
			}
		}, in...))
		if rank == 3 {
			out = o.merged(out)
		}
		o.give(0, out)
		return nil
	}
}
