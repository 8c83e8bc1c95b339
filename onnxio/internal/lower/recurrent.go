package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

const cellReason = "a recurrent layer multiplies activations and feeds them back"

// cell is one direction of a recurrent layer.
type cell struct {
	gates, in, hidden int
	// w is gates*hidden x in, r gates*hidden x hidden; bw and br are their biases, p
	// the peepholes of an LSTM; nil is 0.
	w, r, bw, br, p []float64
	act             []func(float64) float64
	clip            float64
	// afterReset is linear_before_reset of a GRU, coupled input_forget of an LSTM.
	afterReset, coupled bool
	reverse             bool
	step                func(c *cell, pre, h, state []float64, work []float64)
}

// bounded applies activation k to a gate's operand, which clip bounds.
func (c *cell) bounded(k int, x float64) float64 {
	if c.clip > 0 {
		x = tensor.Larger(-c.clip, tensor.Smaller(c.clip, x))
	}
	return c.act[k](x)
}

// recurrent adds R h + br of some gates to work, which holds what x gives.
func (c *cell) recurrent(work, h []float64, from, to int) {
	n := c.hidden
	for g := from * n; g < to*n; g++ {
		s := 0.0
		for j, x := range c.r[g*n : (g+1)*n] {
			s += x * h[j]
		}
		if c.br != nil {
			s += c.br[g]
		}
		work[g] += s
	}
}

// stepRNN is H = f(W x + R h + b).
func stepRNN(c *cell, pre, h, _, work []float64) {
	copy(work, pre)
	c.recurrent(work, h, 0, 1)
	for i := range h {
		h[i] = c.bounded(0, work[i])
	}
}

// stepGRU has the gates z, r, h: H = (1-z) h~ + z h.
func stepGRU(c *cell, pre, h, _, work []float64) {
	n := c.hidden
	copy(work, pre)
	c.recurrent(work, h, 0, 2)
	z, r, y := work[:n], work[n:2*n], work[2*n:3*n]
	for i := range 2 * n {
		work[i] = c.bounded(0, work[i])
	}
	if c.afterReset {
		clear(y)
		c.recurrent(work, h, 2, 3)
		for i := range y {
			y[i] = pre[2*n+i] + r[i]*y[i]
		}
	} else {
		reset := make([]float64, n)
		for i := range reset {
			reset[i] = r[i] * h[i]
		}
		c.recurrent(work, reset, 2, 3)
	}
	for i := range h {
		h[i] = (1-z[i])*c.bounded(1, y[i]) + z[i]*h[i]
	}
}

// stepLSTM has the gates i, o, f, c: C = f C + i c, H = o h(C).
func stepLSTM(c *cell, pre, h, state, work []float64) {
	n := c.hidden
	copy(work, pre)
	c.recurrent(work, h, 0, 4)
	peep := func(g, k int, s float64) float64 {
		if c.p == nil {
			return 0
		}
		return c.p[g*n+k] * s
	}
	for k := range n {
		old := state[k]
		i := c.bounded(0, work[k]+peep(0, k, old))
		f := 1 - i
		if !c.coupled {
			f = c.bounded(0, work[2*n+k]+peep(2, k, old))
		}
		state[k] = f*old + i*c.bounded(1, work[3*n+k])
		o := c.bounded(0, work[n+k]+peep(1, k, state[k]))
		h[k] = o * c.act[2](state[k])
	}
}

// activations of recurrent layers that have no parameters.
var cellActivations = map[string]func(float64) float64{
	"Relu":     func(x float64) float64 { return tensor.Larger(0, x) },
	"Sigmoid":  sigmoid,
	"Softplus": softplus,
	"Softsign": func(x float64) float64 { return x / (1 + math.Abs(x)) },
	"Tanh":     math.Tanh,
}

// cells reads weights and attributes: a cell for each direction.
func (o *op) cells(gates int, defaults []string, step func(c *cell, pre, h, state, work []float64), in int) ([]*cell, error) {
	dirs, reverse := 1, false
	switch d := o.str("direction", "forward"); d {
	case "forward":
	case "reverse":
		reverse = true
	case "bidirectional":
		dirs = 2
	default:
		return nil, refusal.New("", "direction %q", d)
	}
	names := slices.Repeat(defaults, dirs)
	if a := o.attr("activations"); a != nil && len(a.Strings) > 0 {
		if names = a.Texts(); len(names) != dirs*len(defaults) {
			return nil, refusal.New("", "%d activations for %d directions", len(names), dirs)
		}
	}
	var parts [5][]float64 // W, R, B, none, P
	var dims [5][]int
	for at, k := range []int{1, 2, 3, -1, 7} {
		if k < 0 || o.arg(k) == nil && k > 2 || k == 7 && gates != 4 {
			continue
		}
		t, err := o.constant(k, "a weight")
		if err != nil {
			return nil, err
		}
		if parts[at], err = t.Float64s(); err != nil {
			return nil, err
		}
		dims[at] = t.Dims
	}
	if len(dims[1]) != 3 {
		return nil, refusal.New("", "R of shape %v", dims[1])
	}
	h := dims[1][2]
	rows := gates * h
	if n := o.int("hidden_size", int64(h)); h < 1 || n != int64(h) {
		return nil, refusal.New("", "hidden_size is %d and R has the shape %v", n, dims[1])
	}
	for k, want := range [][]int{{dirs, rows, in}, {dirs, rows, h}, {dirs, 2 * rows}, nil, {dirs, 3 * h}} {
		if dims[k] != nil && !slices.Equal(dims[k], want) {
			return nil, refusal.New("", "input %d has the shape %v, want %v", k+1, dims[k], want)
		}
	}
	var out []*cell
	for d := range dirs {
		c := &cell{
			gates: gates, in: in, hidden: h, step: step, reverse: reverse || d == 1, clip: o.float("clip", 0),
			afterReset: o.int("linear_before_reset", 0) != 0, coupled: o.int("input_forget", 0) != 0,
			w: parts[0][d*rows*in:][:rows*in], r: parts[1][d*rows*h:][:rows*h],
		}
		if parts[2] != nil {
			c.bw, c.br = parts[2][2*d*rows:][:rows], parts[2][(2*d+1)*rows:][:rows]
		}
		if parts[4] != nil {
			c.p = parts[4][3*d*h:][:3*h]
		}
		for _, name := range names[d*len(defaults):][:len(defaults)] {
			f := cellActivations[name]
			if f == nil {
				return nil, refusal.New("export it with its usual activations", "its activation is %s", name)
			}
			c.act = append(c.act, f)
		}
		out = append(out, c)
	}
	return out, nil
}

// matrices are W and R of each direction as layers inside the operator.
func (o *op) matrices(dirs int) ([]*value, error) {
	var out []*value
	for d := range dirs {
		for k := 1; k <= 2; k++ {
			t := o.in[k].con
			rows, cols := t.Dims[1], t.Dims[2]
			if cols == 0 {
				continue
			}
			if dirs > 1 {
				index := lists.Count(int32(d*rows*cols), rows*cols)
				var err error
				if t, err = t.Indexed([]int{rows, cols}, index); err != nil {
					return nil, err
				}
				t.Pinned = "it is one direction of a recurrent layer"
			}
			u, err := o.use(t, k)
			if err != nil {
				return nil, err
			}
			out = append(out, o.layerInside(&dag.Dense{W: u, Rows: rows, Cols: cols}))
		}
	}
	return out, nil
}

// lowerDynamicQuantizeLSTM is com.microsoft.DynamicQuantizeLSTM, which is not evaluated: it
// quantises each step by the extremes of that. Its matrices, dequantised, are layers inside.
func lowerDynamicQuantizeLSTM(o *op) error {
	for k := 1; k <= 2; k++ {
		w, err := o.constant(k, "its weight")
		if err != nil {
			return err
		}
		q := quantum{axis: -1}
		for i, to := range []**value{&q.scale, &q.zero} {
			t, err := o.constant(6+2*k+i, "a scale or zero point")
			if err != nil {
				return err
			}
			if d := t.Dims; len(d) == 2 {
				t = t.Reshaped([]int{d[0], 1, d[1]})
			} else {
				t = t.Reshaped([]int{t.Size(), 1, 1})
			}
			*to = &value{con: t}
		}
		if len(w.Dims) != 3 || w.Size() == 0 {
			return refusal.New("", "a weight of shape %v", w.Dims)
		}
		all, err := o.dequantise(&value{con: w}, q, wire.Float32)
		if err != nil {
			return err
		}
		if !slices.Equal(all.dims(), w.Dims) {
			return refusal.New("", "scales of shape %v for a weight of shape %v", q.scale.con.Dims, w.Dims)
		}
		cols, rows := w.Dims[1], w.Dims[2]
		for d := range w.Dims[0] {
			index := lists.Count(int32(d*rows*cols), rows*cols)
			t, err := all.con.Indexed([]int{cols, rows}, index)
			if err != nil {
				return err
			}
			t.Pinned = dequantised
			u, err := o.use(t, k)
			if err != nil {
				return err
			}
			o.layers = append(o.layers, o.layerInside(&dag.Dense{W: u, Rows: rows, Cols: cols, InOut: true}))
		}
	}
	return refusal.New("export it without dynamic quantisation", "it quantises the state by its extremes at each step")
}

// states returns input k, of dirs x batch x hidden, as a value of one sample: nil
// where it is absent.
func (o *op) states(k, dirs, batch, hidden int) (*value, error) {
	v := o.arg(k)
	if v == nil {
		return nil, nil
	}
	want := []int{dirs, batch, hidden}
	if o.int("layout", 0) == 1 {
		want = []int{batch, dirs, hidden}
	}
	if v.constant() && batch == tensor.BatchDim {
		at := slices.Index(want, tensor.BatchDim)
		if len(v.con.Dims) == 3 {
			t, err := o.oneSample(v.con, at)
			if err != nil {
				return nil, err
			}
			v = &value{con: t}
		}
		want[at] = 1
		if !slices.Equal(v.dims(), want) {
			return nil, refusal.MixesBatch("its first state of shape %s has one for each sample", tensor.DimString(v.dims()))
		}
	}
	if !slices.Equal(v.dims(), want) {
		return nil, refusal.New("", "a first state of shape %s, want %s", tensor.DimString(v.dims()), tensor.DimString(want))
	}
	return o.materialize(v)
}

// recurrence is the geometry of a recurrent layer over one sample.
type recurrence struct {
	cells                []*cell
	steps, batch, hidden int
	batchFirst           bool
	// lengths has the number of steps of each sequence; nil: all.
	lengths []int
	// lens, first and second are the operands that hold the lengths and the first
	// states; -1 without.
	lens, first, second int
}

// run computes Y, then the last H and C, each as layout 0 or 1 has it.
func (r *recurrence) run(dst []float64, in ...[]float64) {
	lib := blas.Find()
	dirs, h := len(r.cells), r.hidden
	n := r.steps * dirs * r.batch * h
	y, last, lastC := dst[:n], dst[n:n+dirs*r.batch*h], dst[n+dirs*r.batch*h:]
	clear(y)
	place := func(d, b int) int { // of a state
		if r.batchFirst {
			return (b*dirs + d) * h
		}
		return (d*r.batch + b) * h
	}
	for d, c := range r.cells {
		rows := c.gates * h
		pre := make([]float64, r.steps*r.batch*rows)
		if c.bw != nil {
			for i := range pre {
				pre[i] = c.bw[i%rows]
			}
		}
		if m := r.steps * r.batch; m > 0 && c.in > 0 {
			lib.Dgemm(false, true, m, rows, c.in, 1, in[0], c.in, c.w, c.in, 1, pre, rows)
		}
		work := make([]float64, rows)
		for b := range r.batch {
			hidden, state := last[place(d, b):][:h], lastC[place(d, b):][:h]
			clear(hidden)
			clear(state)
			if r.first >= 0 {
				copy(hidden, in[r.first][place(d, b):])
			}
			if r.second >= 0 {
				copy(state, in[r.second][place(d, b):])
			}
			steps := r.steps
			switch {
			case r.lengths != nil:
				steps = r.lengths[b]
			case r.lens >= 0:
				steps = int(tensor.Larger(0, tensor.Smaller(float64(r.steps), in[r.lens][b])))
			}
			for s := range steps {
				t := s
				if c.reverse {
					t = steps - 1 - s
				}
				at, to := t*r.batch+b, ((t*dirs+d)*r.batch+b)*h
				if r.batchFirst {
					at, to = b*r.steps+t, ((b*r.steps+t)*dirs+d)*h
				}
				c.step(c, pre[at*rows:][:rows], hidden, state, work)
				copy(y[to:], hidden)
			}
		}
	}
}

// recurrentLayer makes a lowerer of RNN, GRU or LSTM.
func recurrentLayer(gates int, defaults []string, step func(c *cell, pre, h, state, work []float64)) lowerer {
	return ofActivation(func(o *op, v *value) error {
		if len(v.shape) != 3 {
			return refusal.New("", "an operand of rank %d, want 3", len(v.shape))
		}
		r := &recurrence{batchFirst: o.int("layout", 0) == 1, lens: -1, first: -1, second: -1}
		steps, batch := v.shape[0], v.shape[1]
		if r.batchFirst {
			steps, batch = batch, steps
		}
		if steps == tensor.BatchDim || v.shape[2] == tensor.BatchDim {
			return refusal.MixesBatch("it runs along the batch axis")
		}
		r.steps, r.batch = steps, tensor.Single(batch)
		var err error
		if r.cells, err = o.cells(gates, defaults, step, v.shape[2]); err != nil {
			return err
		}
		dirs, h := len(r.cells), r.cells[0].hidden
		r.hidden = h
		if !tensor.Fits([]int{r.steps, r.batch, dirs, h, gates}) {
			return tooLarge()
		}
		in, err := o.recurrentInputs(r, v, batch, gates)
		if err != nil {
			return err
		}
		inside, err := o.matrices(dirs)
		if err != nil {
			return err
		}
		n := dirs * r.batch * h
		flat := []int{(r.steps + 2) * n}
		if batch == tensor.BatchDim {
			flat = append([]int{tensor.BatchDim}, flat...)
		}
		all := o.emit(&dag.Func{Kind: dag.Cell, Why: cellReason, Apply: r.run, Inside: len(inside)}, flat, append(in, inside...)...)
		all.elem = v.elem
		part := func(from, size int, shape []int) *value { return o.pick(all, shape, lists.Count(int32(from), size)) }
		state, whole := []int{dirs, batch, h}, []int{steps, dirs, batch, h}
		if r.batchFirst {
			state, whole = []int{batch, dirs, h}, []int{batch, steps, dirs, h}
		}
		o.give(0, part(0, r.steps*n, whole))
		o.give(1, part(r.steps*n, n, state))
		o.give(2, part((r.steps+1)*n, n, state))
		return nil
	})
}

// recurrentInputs lists what the cells read: the operand, lengths that are no constant, and the states that
// they begin with. r has where each is.
func (o *op) recurrentInputs(r *recurrence, v *value, batch, gates int) (in []*value, err error) {
	in = []*value{v}
	if lens := o.arg(4); lens != nil {
		switch {
		case len(lens.dims()) != 1:
			return nil, refusal.New("", "lengths of shape %s", tensor.DimString(lens.dims()))
		case lens.constant():
			if r.lengths, err = o.sequenceLengths(lens.con, r.steps, batch); err != nil {
				return nil, err
			}
		case lens.shape[0] != batch:
			return nil, refusal.New("", "lengths of shape %s for a batch of %s", tensor.DimString(lens.shape), tensor.DimString([]int{batch}))
		default:
			r.lens, in = len(in), append(in, lens)
		}
	}
	for k, at := range []*int{&r.first, &r.second} {
		if k == 1 && gates != 4 { // only an LSTM has a second state
			continue
		}
		s, err := o.states(5+k, len(r.cells), batch, r.hidden)
		if err != nil {
			return nil, err
		}
		if s != nil {
			*at, in = len(in), append(in, s)
		}
	}
	return in, nil
}

// sequenceLengths reads constant lengths; of a batch all must be the same.
func (o *op) sequenceLengths(t *tensor.Tensor, steps, batch int) ([]int, error) {
	x, err := t.Int64s()
	if err != nil {
		return nil, err
	}
	out := make([]int, len(x))
	for i, n := range x {
		if n < 0 || n > int64(steps) {
			return nil, refusal.New("", "lengths %v for %s", x, words.Count(steps, "step"))
		}
		out[i] = int(n)
	}
	if batch != tensor.BatchDim {
		if len(out) != batch {
			return nil, refusal.New("", "%d lengths for %d sequences", len(out), batch)
		}
		return out, nil
	}
	if len(out) == 0 || len(slices.Compact(slices.Clone(out))) != 1 {
		return nil, refusal.MixesBatch("its sequences have different lengths")
	}
	return out[:1], nil
}
