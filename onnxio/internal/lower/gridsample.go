package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// grid is how GridSample reads a value of some spatial axes at places of -1 to 1.
type grid struct {
	from, to []int // extents of the value and of the grid
	channels int
	corners  bool // -1 and 1 are the centres of the outer elements, not their edges
	padding  string
	// taps gives the elements beside a place along one axis, and their weights.
	taps func(x float64) []tap
}

// gridModes are the interpolations by their names, those of opset 16 among them.
var gridModes = map[string]func(x float64) []tap{
	"linear": linearTaps, "bilinear": linearTaps,
	"cubic": keysTaps, "bicubic": keysTaps,
	"nearest": func(x float64) []tap { return []tap{{int(math.RoundToEven(x)), 1}} },
}

func linearTaps(x float64) []tap {
	at := math.Floor(x)
	return []tap{{int(at), 1 - (x - at)}, {int(at) + 1, x - at}}
}

func keysTaps(x float64) (out []tap) {
	at := int(math.Floor(x))
	for q, w := range cubicTaps(x-float64(at), -0.75) {
		out = append(out, tap{at - 1 + q, w})
	}
	return out
}

// element resolves a place outside the value; false where it is 0.
func (g *grid) element(i, n int) (int, bool) {
	if i >= 0 && i < n {
		return i, true
	}
	switch g.padding {
	case "border":
		return max(0, min(i, n-1)), true
	case "reflection":
		lo, hi := -0.5, float64(n)-0.5
		if g.corners {
			lo, hi = 0, float64(n-1)
		}
		return max(0, min(int(reflected(float64(i), lo, hi)), n-1)), true
	}
	return 0, false
}

// reflected folds x into [lo, hi].
func reflected(x, lo, hi float64) float64 {
	if hi <= lo {
		return lo
	}
	period := 2 * (hi - lo)
	x = math.Mod(math.Abs(x-lo), period)
	return lo + math.Min(x, period-x)
}

// place maps a coordinate of -1 to 1 to an element, as padding has it.
func (g *grid) place(x float64, n int, cubic bool) float64 {
	if g.corners {
		x = (x + 1) / 2 * float64(n-1)
	} else {
		x = ((x+1)*float64(n) - 1) / 2
	}
	if cubic { // whose elements are resolved one by one
		return x
	}
	switch g.padding {
	case "border":
		return math.Max(0, math.Min(x, float64(n-1)))
	case "reflection":
		if g.corners {
			return reflected(x, 0, float64(n-1))
		}
		return reflected(x, -0.5, float64(n)-0.5)
	}
	return x
}

// sample reads the channels of one sample.
func (g *grid) sample(dst, x, at []float64, cubic bool) {
	n, all, places := len(g.from), dag.Size(g.from), dag.Size(g.to)
	taps := make([][]tap, n)
	for p := range places {
		for k := range n { // the last axis comes first
			c := g.place(at[p*n+n-1-k], g.from[k], cubic)
			if !(math.Abs(c) < tensor.MaxElements) {
				c = -tensor.MaxElements
			}
			taps[k] = g.taps(c)
		}
		for c := range g.channels {
			dst[c*places+p] = g.sum(x[c*all:][:all], taps, 0, 0)
		}
	}
}

// sum is the weighted sum over the axes from axis on.
func (g *grid) sum(x []float64, taps [][]tap, axis, at int) float64 {
	if axis == len(taps) {
		return x[at]
	}
	s := 0.0
	for _, t := range taps[axis] {
		if i, ok := g.element(t.at, g.from[axis]); ok {
			s += t.weight * g.sum(x, taps, axis+1, at*g.from[axis]+i)
		}
	}
	return s
}

// lowerGridSample reads a value at places that another holds.
func lowerGridSample(o *op, v, places *value) error {
	dims, list := v.dims(), places.dims()
	n := len(dims) - 2
	if n < 1 || len(list) != n+2 || list[n+1] != n {
		return refusal.New("", "places of shape %s for a value of shape %s", tensor.DimString(list), tensor.DimString(dims))
	}
	if !abreast(v, places) || slices.Contains(dims[1:], tensor.BatchDim) {
		return refusal.MixesBatch("its places are those of all samples")
	}
	if dims[0] != list[0] {
		return refusal.New("", "places of shape %s for a value of shape %s", tensor.DimString(list), tensor.DimString(dims))
	}
	mode := o.str("mode", "linear")
	g := &grid{from: dims[2:], to: list[1 : n+1], channels: dims[1], corners: o.int("align_corners", 0) != 0, padding: o.str("padding_mode", "zeros"), taps: gridModes[mode]}
	cubic := mode == "cubic" || mode == "bicubic"
	if g.taps == nil || !slices.Contains([]string{"zeros", "border", "reflection"}, g.padding) {
		return refusal.New("", "mode %q with padding_mode %q", mode, g.padding)
	}
	shape := slices.Concat(dims[:2], g.to)
	if !tensor.Fits(shape) || slices.Contains(g.from, 0) {
		return refusal.New("", "places of shape %s for a value of shape %s", tensor.DimString(list), tensor.DimString(dims))
	}
	size, step := dag.Size(dims[1:]), dag.Size(list[1:])
	return o.gives(o.functionOf("it reads at computed places", v.dataType(), shape, func(dst []float64, in ...[]float64) {
		one := g.channels * dag.Size(g.to)
		for b := range tensor.Single(dims[0]) {
			g.sample(dst[b*one:][:one], in[0][b*size:][:size], in[1][b*step:][:step], cubic)
		}
	}, v, places))
}

// lowerAffineGrid maps the places of a grid, of -1 to 1 along each axis, by an affine map of
// each sample: the grid that GridSample reads at.
func lowerAffineGrid(o *op, theta *value) error {
	list, err := o.intsAt(1, "the shape of the picture")
	if err != nil {
		return err
	}
	dims, n := theta.dims(), len(list)-2
	if n < 2 || n > 3 || len(dims) != 3 || dims[1] != n || dims[2] != n+1 {
		return refusal.New("", "maps of shape %s for a picture of shape %v", tensor.DimString(dims), list)
	}
	if list[0] != int64(dims[0]) && !(dims[0] == tensor.BatchDim && list[0] == int64(max(o.declared, 1))) {
		return refusal.MixesBatch("it makes grids of %s", words.Count(list[0], "sample"))
	}
	to := make([]int, n)
	for k := range to {
		if list[k+2] < 1 || list[k+2] > tensor.MaxElements {
			return refusal.New("", "a picture of shape %v", list)
		}
		to[k] = int(list[k+2])
	}
	shape := slices.Concat(dims[:1], to, []int{n})
	if !tensor.Fits(shape) {
		return tooLarge()
	}
	corners := o.int("align_corners", 0) != 0
	at := func(i, size int) float64 {
		if !corners {
			return (2*float64(i)+1)/float64(size) - 1
		}
		if size == 1 {
			return 0
		}
		return 2*float64(i)/float64(size-1) - 1
	}
	step, places := tensor.Strides(to), dag.Size(to)
	return o.gives(o.functionOf("it maps places", theta.dataType(), shape, func(dst []float64, in ...[]float64) {
		for k := range dst {
			row := in[0][(k/(n*places)*n+k%n)*(n+1):]
			dst[k] = row[n]
			for i := range n { // the last axis comes first
				axis := n - 1 - i
				dst[k] += row[i] * at(k/n%places/step[axis]%to[axis], to[axis])
			}
		}
	}, theta))
}
