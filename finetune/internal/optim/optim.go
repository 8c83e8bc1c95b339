// Package optim holds the optimizers as rules on live parameter slices.
//
// With g the gradient of the mean loss, eta the step size and kappa from
// package geometry:
//
//	sgd           u = eta g
//	path-sgd      u = eta g/kappa
//	adagrad       a += g^2,        u = eta g/(sqrt(a) + eps)
//	path-adagrad  a += g^2/kappa,  u = eta (g/kappa)/(sqrt(a) + eps)
//	momentum      v = mu v + u,    u = v
//	              w = (1 - eta0 lambda) w - u
//
// path-adagrad is AdaGrad on the numbers w sqrt(kappa), whose gradient
// g/sqrt(kappa) does not change under rescaling, so that neither does a.
// Momentum is the heavy ball with the step size inside: v has the units of the
// weights and stays in their range. Weight decay is decoupled (Loshchilov and
// Hutter, ICLR 2019) and uses the nominal step size eta0, before it is
// normalised. Where kappa is 0 or beyond range 1/kappa counts as 0: the
// gradient of a dead path is not applied. Sources: Neyshabur, Salakhutdinov,
// Srebro, Path-SGD, NeurIPS 2015; Duchi, Hazan, Singer, JMLR 2011; Polyak 1964.
package optim

import (
	"math"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// Kind is the optimizer.
type Kind uint8

// The optimizers.
const (
	SGD Kind = iota
	PathSGD
	AdaGrad
	PathAdaGrad
)

func (k Kind) path() bool     { return k == PathSGD || k == PathAdaGrad }
func (k Kind) adaptive() bool { return k == AdaGrad || k == PathAdaGrad }

// Rule is a complete description of an update.
type Rule struct {
	Kind Kind
	// P is the order of the path geometry, of the path penalty and of the norm
	// that MaxNorm bounds.
	P float64
	// Epsilon is AdaGrad's.
	Epsilon float64
	// Momentum says that velocities are kept; the coefficient is Optimizer.Mu.
	Momentum bool
	// Decay is lambda.
	Decay float64
	// PathPenalty is the factor of ||pi||_p^p / p, added to the loss.
	PathPenalty float64
	// MaxNorm bounds the p-norm of each unit's incoming weights; 0 is no bound.
	MaxNorm float64
	// KeepZeros keeps weights at zero that are zero when New is called.
	KeepZeros bool
}

// Optimizer applies one rule to the tensors of one program.
type Optimizer[T program.Float] struct {
	Rule
	// Eta0 is the nominal step size; the step size is Eta*2^EtaExp.
	Eta0, Eta float64
	EtaExp    int
	// Mu is the coefficient of the momentum.
	Mu float64

	prog  *program.Program[T]
	geo   *geometry.Geometry[T]
	pool  *pool.Pool
	state []State[T]
	fused []Scaling[T]
	norms []float64
	// zeros are the weights of each tensor that stay zero.
	zeros [][]int
	pass  update[T]
	run   func(lo, hi int)
}

// State is what an optimizer remembers of one tensor; nil where it needs none.
type State[T program.Float] struct {
	Velocity []T `json:"-"`
	// Sum is AdaGrad's a over 4^SumExp; SumSet says that SumExp was chosen.
	Sum    []T  `json:"-"`
	SumExp int  `json:"exp"`
	SumSet bool `json:"set"`
}

// New prepares an optimizer. geo may be nil where no rule needs kappa.
func New[T program.Float](prog *program.Program[T], rule Rule, geo *geometry.Geometry[T], pl *pool.Pool) *Optimizer[T] {
	o := &Optimizer[T]{
		Rule: rule, prog: prog, geo: geo, pool: pl,
		state: make([]State[T], len(prog.Tensors)), fused: make([]Scaling[T], len(prog.Tensors)),
	}
	for t, x := range prog.Tensors {
		if x.Frozen {
			continue
		}
		if rule.Momentum {
			o.state[t].Velocity = make([]T, len(x.Data))
		}
		if rule.Kind.adaptive() {
			o.state[t].Sum = make([]T, len(x.Data))
		}
	}
	if rule.KeepZeros {
		o.findZeros()
	}
	o.run = o.slice
	return o
}

// NeedsGeometry tells whether a rule needs kappa or the path norm's derivative.
func (r *Rule) NeedsGeometry() bool { return r.Kind.path() || r.PathPenalty != 0 }

// States returns the optimizer's memory, one entry a tensor.
func (o *Optimizer[T]) States() []State[T] { return o.state }

// Begin computes kappa at the present weights, beside the caller. Call it once a step, before any
// tensor changes, and Wait before it ends.
func (o *Optimizer[T]) Begin() {
	if o.NeedsGeometry() {
		o.geo.Start()
	}
}

// Wait returns when what Begin began is done.
func (o *Optimizer[T]) Wait() {
	if o.NeedsGeometry() {
		o.geo.Wait()
	}
}

// Scaling describes an update as one matrix product into the weights:
// W = Beta W + Alpha (D diag(Out))^T (X diag(In)), D the batch's derivatives at
// the units and X its inputs. Nil factors are ones.
type Scaling[T program.Float] struct {
	Out, In     []T
	Alpha, Beta T
}

// Linear tells whether the update of a tensor with one use in a dense layer is
// linear in the gradient, so that Scaling describes it.
func (o *Optimizer[T]) Linear(t int) bool {
	return !o.Kind.adaptive() && !o.Momentum && o.PathPenalty == 0 && o.prog.Tensors[t].Uses == 1 &&
		(o.Kind == SGD || o.geo.Outer(t))
}

// Scaling returns the update of a tensor that is Linear, after Begin.
func (o *Optimizer[T]) Scaling(t int) *Scaling[T] {
	s := &o.fused[t]
	s.Beta = T(o.keep(t))
	if o.Kind == SGD {
		s.Alpha = T(-math.Ldexp(o.Eta, o.EtaExp))
		return s
	}
	f := o.geo.Inverse(t)
	var rest float64
	s.Alpha, rest = o.alpha(f.Exp())
	s.Out, s.In = inType(s.Out, f.Out, rest), inType(s.In, f.In, 1)
	return s
}

// inType writes factors times f in the weights' type; nil stands for ones.
func inType[T program.Float](dst []T, x *geometry.Path, f float64) []T {
	if x.Ones && f == 1 {
		return nil
	}
	if len(dst) == 0 {
		dst = make([]T, x.Len)
	}
	for i, v := range x.Sums {
		dst[i] = T(v * f)
	}
	return dst
}

// keep is the share of a tensor's numbers that decay leaves.
func (o *Optimizer[T]) keep(t int) float64 {
	if o.prog.Tensors[t].Slope {
		return 1
	}
	return 1 - o.Eta0*o.Decay
}

// alpha is the step size times 2^exp; what does not fit its range is in rest.
func (o *Optimizer[T]) alpha(exp int) (a T, rest float64) {
	m, k := math.Frexp(-o.Eta)
	k += o.EtaExp + exp
	limit := 1000
	if _, single := any(a).(float32); single {
		limit = 100
	}
	in := max(-limit, min(limit, k))
	return T(math.Ldexp(m, in)), math.Ldexp(1, k-in)
}

// update is the pass in progress over one tensor.
type update[T program.Float] struct {
	w, g, v, a []T
	cols       int
	row, col   []float64 // factors of 1/kappa; nil is ones
	all        []float64 // 1/kappa of each element; nil is ones
	pen        *geometry.Factors
	penalty    float64
	step, sum  float64
	root       float64
	keep       float64
}

// Apply updates a tensor from its gradient, which it leaves as it is.
func (o *Optimizer[T]) Apply(t int, g []T) {
	x, st := o.prog.Tensors[t], &o.state[t]
	u := update[T]{w: x.Data, g: g, v: st.Velocity, a: st.Sum, cols: len(x.Data), keep: o.keep(t), step: math.Ldexp(o.Eta, o.EtaExp)}
	exp := 0
	if o.Kind.path() {
		f := o.geo.Inverse(t)
		exp = f.Exp()
		switch {
		case f.All != nil:
			u.all = f.All.Sums
		case f.InOut:
			u.row, u.col, u.cols = f.In.Sums, f.Out.Sums, f.Out.Len
		default:
			u.row, u.col, u.cols = f.Out.Sums, f.In.Sums, f.In.Len
		}
		u.step = math.Ldexp(o.Eta, o.EtaExp+exp)
	}
	if o.PathPenalty != 0 {
		u.pen = o.geo.Slope(t)
		u.penalty = math.Ldexp(o.PathPenalty, u.pen.Exp())
	}
	o.pass = u
	if st.Sum != nil {
		if !st.SumSet {
			st.SumExp, st.SumSet = o.range4(exp)
		}
		o.pass.sum = math.Ldexp(1, exp-2*st.SumExp)
		o.pass.root = math.Ldexp(1, st.SumExp)
	}
	if u.row == nil && u.col == nil {
		o.pass.cols = piece // rows mean nothing
	}
	cols := max(o.pass.cols, 1)
	o.pool.Do((len(x.Data)+cols-1)/cols, max(1, piece/cols), o.run)
}

// piece is how many elements are worth a goroutine.
const piece = 1 << 14

// range4 chooses the k for which the largest g^2/kappa is near 4^k, so that
// AdaGrad's sums stay in range whatever the path norm is.
func (o *Optimizer[T]) range4(exp int) (k int, ok bool) {
	u := &o.pass
	most := 0.0
	for e := range u.w {
		g := float64(u.g[e])
		if u.penalty != 0 {
			g = u.gradient(o.P, e)
		}
		most = math.Max(most, g*g*u.factor(e/u.cols, e%u.cols, e))
	}
	if most == 0 || most-most != 0 {
		return 0, false
	}
	_, k = math.Frexp(most)
	return halved(k + exp), true
}

// halved is half of the next even number below.
func halved(k int) int { return (k - k&1) / 2 }

// factor is 1/kappa of element e, in row r and column c.
func (u *update[T]) factor(r, c, e int) float64 {
	q := 1.0
	if u.row != nil {
		q = u.row[r]
	}
	if u.col != nil {
		q *= u.col[c]
	}
	if u.all != nil {
		q = u.all[e]
	}
	return q
}

// gradient is that of element e, penalty included.
func (u *update[T]) gradient(p float64, e int) float64 {
	w := float64(u.w[e])
	return float64(u.g[e]) + u.penalty*u.pen.At(e)*math.Copysign(math.Pow(math.Abs(w), p-1), w)
}

// plain tells whether the update is keep*w - step*g, with a step in the range of the weights' type: then it is
// computed in that type, as the products of Scaling are.
func (u *update[T]) plain() bool {
	step := math.Abs(float64(T(u.step)))
	return u.v == nil && u.a == nil && u.row == nil && u.col == nil && u.all == nil && u.penalty == 0 && step > 0x1p-100 && step < 0x1p100
}

// slice updates rows lo to hi of the stored tensor.
func (o *Optimizer[T]) slice(lo, hi int) {
	u := &o.pass
	if u.plain() {
		w, g := u.w[lo*u.cols:min(hi*u.cols, len(u.w))], u.g[lo*u.cols:]
		kernel.Sum(w, T(u.keep), w, T(-u.step), g)
		return
	}
	if u.all != nil && u.a == nil && u.v == nil && u.penalty == 0 {
		lo, hi = lo*u.cols, min(hi*u.cols, len(u.w))
		kernel.Descend(u.w[lo:hi], u.g[lo:hi], u.all[lo:hi], u.keep, u.step)
		return
	}
	mu := T(o.Mu)
	for r := lo; r < hi; r++ {
		at := r * u.cols
		for c, w := range u.w[at:min(at+u.cols, len(u.w))] {
			e := at + c
			g := float64(u.g[e])
			if u.penalty != 0 {
				g = u.gradient(o.P, e)
			}
			d := g * u.factor(r, c, e)
			if u.a != nil {
				a := T(float64(u.a[e]) + g*d*u.sum)
				u.a[e] = a
				if d != 0 {
					d /= math.Sqrt(float64(a))*u.root + o.Epsilon
				}
			}
			d *= u.step
			if u.v != nil {
				v := mu*u.v[e] + T(d)
				u.v[e] = v
				d = float64(v)
			}
			u.w[e] = T(u.keep*float64(w) - d)
		}
	}
}
