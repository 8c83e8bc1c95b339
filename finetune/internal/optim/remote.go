package optim

import (
	"fmt"
	"math"

	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/program"
)

// Remote applies an Optimizer's rule on a device, where velocities and AdaGrad's
// sums stay.
type Remote[T program.Float] struct {
	*cuda.Resident[T]
	o     *Optimizer[T]
	geo   *geometry.Remote[T] // nil where no rule needs it
	heads []uint64            // of factors
	of    []there
	top   cuda.Ptr
}

// there is what one tensor has on the device.
type there struct {
	velocity, sum    cuda.Ptr
	inverse, penalty geometry.Factors
	// Records of the addresses of factors.
	inverseAt, penaltyAt cuda.Ptr
	cols                 int
}

// On puts the optimizer's memory on the device of its program. Heads of factors, at
// most four for each tensor, come to lie at at; whoever runs the steps copies them
// to heads after Begin. The error says that a rule has no kernels.
func (o *Optimizer[T]) On(r *cuda.Resident[T], at cuda.Ptr, heads []uint64) (*Remote[T], error) {
	m := &Remote[T]{Resident: r, o: o, heads: heads, of: make([]there, len(r.Tensors)), top: r.Alloc(cuda.Bytes[int32](1))}
	if o.NeedsGeometry() {
		var err error
		if m.geo, err = o.geo.On(r, at); err != nil {
			return nil, fmt.Errorf("optimizer: %w", err)
		}
	}
	for t, x := range r.Prog.Tensors {
		s, f := &o.state[t], &m.of[t]
		f.velocity, f.sum, f.cols = cuda.Upload(r, s.Velocity), cuda.Upload(r, s.Sum), len(x.Data)
		if x.Frozen {
			continue
		}
		if o.Kind.path() {
			f.inverse = m.geo.Inverse(t)
			f.inverseAt = m.record(f, &f.inverse)
		}
		if o.PathPenalty != 0 {
			f.penalty = m.geo.Slope(t)
			f.penaltyAt = m.record(f, &f.penalty)
		}
	}
	return m, nil
}

// record gives kernels the addresses of factors.
func (m *Remote[T]) record(at *there, f *geometry.Factors) cuda.Ptr {
	row, col := f.Out, f.In
	switch {
	case f.All != nil:
		return cuda.Upload(m, []uint64{0, 0, f.All.V, f.All.Head})
	case f.InOut:
		row, col = col, row
	}
	at.cols = col.Len
	return cuda.Upload(m, []uint64{row.V, row.Head, col.V, col.Head})
}

// exp is the exponent of factors.
func (m *Remote[T]) exp(f *geometry.Factors) (sum int) {
	for _, p := range []*geometry.Path{f.Out, f.In, f.All} {
		if p != nil {
			sum += geometry.HeadExp(m.heads[p.Index])
		}
	}
	return sum
}

// Begin computes kappa, as Optimizer.Begin.
func (m *Remote[T]) Begin() {
	if m.geo != nil {
		m.geo.Update()
	}
}

// Scale makes the operands of a product into the weights of a tensor that is
// Linear: rows of derivatives and of inputs, which it scales into memory at
// scaled where it must. See Scaling.
func (m *Remote[T]) Scale(t int, in []cuda.Ptr, scaled [2]cuda.Ptr, rows int) (out []cuda.Ptr, alpha, beta T) {
	o, f := m.o, &m.of[t].inverse
	if o.Kind == SGD {
		return in, T(-math.Ldexp(o.Eta, o.EtaExp)), T(o.keep(t))
	}
	alpha, rest := o.alpha(m.exp(f))
	m.Launch("times", rows*f.Out.Len, scaled[0], in[0], f.Out.V, f.Out.Head, rest, f.Out.Len)
	m.Launch("times", rows*f.In.Len, scaled[1], in[1], f.In.V, f.In.Head, 1.0, f.In.Len)
	return scaled[:], alpha, T(o.keep(t))
}

// Apply updates a tensor from its gradient, as Optimizer.Apply.
func (m *Remote[T]) Apply(t int, g cuda.Ptr) {
	o, x, st, f := m.o, m.Prog.Tensors[t], &m.o.state[t], &m.of[t]
	exp, penalty := m.exp(&f.inverse), math.Ldexp(o.PathPenalty, m.exp(&f.penalty))
	if st.Sum != nil && !st.SumSet {
		top := []int32{math.MinInt32}
		cuda.Write(m.Device, m.top, top)
		m.Launch("range", len(x.Data), m.top, m.Tensors[t], g, f.cols, f.inverseAt, f.penaltyAt, penalty, o.P)
		cuda.Read(m.Device, top, m.top)
		st.SumExp, st.SumSet = halved(int(top[0])+exp), top[0] > math.MinInt32 && top[0] < 1<<20
		if !st.SumSet {
			st.SumExp = 0
		}
	}
	m.Launch("apply", len(x.Data), m.Tensors[t], g, f.velocity, f.sum, f.cols, f.inverseAt, f.penaltyAt, penalty, o.P,
		math.Ldexp(o.Eta, o.EtaExp+exp), math.Ldexp(1, exp-2*st.SumExp), math.Ldexp(1, st.SumExp), o.Epsilon, o.Mu, o.keep(t))
}

// End projects onto MaxNorm, as Optimizer.End.
func (m *Remote[T]) End() {
	if m.o.MaxNorm == 0 {
		return
	}
	m.o.bounded(func(t, units int, columns bool) {
		m.Launch("project", units, m.Tensors[t], len(m.Prog.Tensors[t].Data)/max(units, 1), columns, m.o.P, m.o.MaxNorm)
	})
}

// Memory calls do for each part of the optimizer's memory, here and on the device.
func (m *Remote[T]) Memory(do func(here []T, there cuda.Ptr)) {
	if m == nil {
		return
	}
	for t, s := range m.o.state {
		do(s.Velocity, m.of[t].velocity)
		do(s.Sum, m.of[t].sum)
	}
}
