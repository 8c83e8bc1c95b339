package engine

import (
	"math"

	G "gorgonia.org/gorgonia"

	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/internal/lists"
)

// far is what an engine has on a device, besides its machine's memory.
type far[T program.Float] struct {
	*cuda.Resident[T]
	rule            *optim.Remote[T]
	x               cuda.Ptr // the batch
	labels, targets cuda.Ptr
	// Sums of the loss, of each example and of all of them; the latter begin what
	// comes back at each run.
	losses, result cuda.Ptr
	back           []uint64
	fresh          bool // the host's tensors are current
	// scratch is memory for what lives between two kernels, room numbers long.
	scratch cuda.Ptr
	room    int
}

// OnDevice is New on a device, where the tensors and what the optimizer remembers
// stay: see Load and Sync. Errors: no device, too little memory, a rule that has
// no kernels.
func OnDevice[T program.Float](prog *program.Program[T], rule *optim.Optimizer[T], opt Options) (*Engine[T], error) {
	r, err := cuda.Place(prog)
	if err != nil {
		return nil, err
	}
	e := prepare(prog, rule, opt)
	e.far = &far[T]{Resident: r, fresh: true}
	r.Enter()
	defer r.Leave()
	f := e.far
	e.there = products[T, cuda.Ptr]{
		gemm: func(transA, transB bool, m, n, k int, alpha T, a cuda.Ptr, lda int, b cuda.Ptr, ldb int, beta T, c cuda.Ptr, ldc int) {
			r.Gemm(transA, transB, m, n, k, float64(alpha), a, lda, b, ldb, float64(beta), c, ldc)
		},
		skip: func(x cuda.Ptr, n int) cuda.Ptr { return x + cuda.Ptr(cuda.Bytes[T](n)) },
	}
	// Heads of factors follow the sums, four for each tensor at most.
	f.back = make([]uint64, 3+4*len(prog.Tensors))
	f.result = r.Alloc(cuda.Bytes[uint64](len(f.back)))
	if rule != nil {
		f.rule, err = rule.On(r, f.result+3*8, f.back[3:])
	}
	if err == nil {
		width, classes := prog.Values[prog.Input].Len, prog.Values[prog.Logits].Len
		f.x = r.Alloc(cuda.Bytes[T](opt.Batch * width))
		f.labels, f.targets = r.Alloc(cuda.Bytes[int32](opt.Batch)), r.Alloc(cuda.Bytes[T](opt.Batch*classes))
		f.losses = r.Alloc(cuda.Bytes[float64](3 * opt.Batch))
		m := &e.machine
		m.dev, m.resident = r, map[*[]T]cuda.Ptr{&e.x: f.x}
		for t, x := range prog.Tensors {
			m.resident[&x.Data] = r.Tensors[t]
		}
		e.build()
		m.base, f.scratch = r.Alloc(cuda.Bytes[T](m.size)), r.Alloc(cuda.Bytes[T](f.room))
		err = r.Err()
	}
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return e, nil
}

// upload writes a batch.
func (e *Engine[T]) upload(b *Batch[T]) {
	f := e.far
	cuda.Write(f.Device, f.x, b.X[:b.N*e.prog.Values[e.prog.Input].Len])
	if b.Labels != nil {
		cuda.Write(f.Device, f.labels, lists.Convert[int32](b.Labels[:b.N]))
		return
	}
	cuda.Write(f.Device, f.targets, b.Targets[:b.N*e.prog.Values[e.prog.Logits].Len])
}

// farLoss computes the loss and waits for its sums.
func (b *builder[T]) farLoss(c *remote) {
	f, batch, dst := b.Engine.far, b.Engine.batch, c.dst
	if !b.slope {
		dst = 0
	}
	labels, targets := f.labels, f.targets
	if batch.Labels == nil {
		labels = 0
	} else {
		targets = 0
	}
	l := &b.Engine.opt.Loss
	f.Launch("loss", c.n, dst, c.in[0], labels, targets, f.losses, int(l.Kind), l.Margin, b.prog.Values[b.prog.Logits].Len, 1/float64(c.n))
	f.Launch("loss_sums", 3, f.result, f.losses, c.n)
	cuda.Read(f.Device, f.back, f.result)
	sum := func(k int) float64 { return math.Float64frombits(f.back[k]) }
	b.Engine.stats = Stats{N: c.n, Loss: sum(0), Full: sum(1), Wrong: int(sum(2))}
}

// Load gives the device the tensors and the optimizer's memory as the host has
// them.
func (e *Engine[T]) Load() error {
	return e.move(func(here []T, there cuda.Ptr) { cuda.Write(e.far.Device, there, here) })
}

// Sync makes the tensors and the optimizer's memory current on the host.
func (e *Engine[T]) Sync() error {
	if e.far == nil || e.far.fresh {
		return nil
	}
	return e.move(func(here []T, there cuda.Ptr) { cuda.Read(e.far.Device, here, there) })
}

// move copies all that steps change.
func (e *Engine[T]) move(do func(here []T, there cuda.Ptr)) error {
	f := e.far
	if f == nil {
		return nil
	}
	f.Enter()
	defer f.Leave()
	for t, x := range e.prog.Tensors {
		if !x.Frozen {
			do(x.Data, f.Tensors[t])
		}
	}
	f.rule.Memory(do)
	f.fresh = f.Err() == nil
	return f.Err()
}

// fetchGradients copies the derivatives of the last run to where they are wanted.
func (e *Engine[T]) fetchGradients() error {
	e.far.Enter()
	defer e.far.Leave()
	for t, n := range e.slopes {
		if n != nil && e.grads[t] != nil {
			e.fetch(e.grads[t], n)
		}
	}
	return e.far.Err()
}

// fetch copies a value to the host.
func (e *Engine[T]) fetch(dst []T, n *G.Node) {
	p := e.machine.plan.at[n]
	cuda.Read(e.far.Device, dst, e.machine.address(&p))
}

// remote runs an instruction on the device.
func (m *machine[T]) remote(i *instruction[T]) {
	i.far.n, i.far.dst = m.n, m.address(&i.to)
	for k := range i.src {
		i.far.in[k] = m.address(&i.src[k])
	}
	i.op.far(&i.far)
}

func (m *machine[T]) address(p *place[T]) cuda.Ptr {
	if p.there != 0 {
		return p.there
	}
	return m.base + cuda.Ptr(cuda.Bytes[T](p.at))
}

// reside gives the device a copy of memory.
func (m *machine[T]) reside(x *[]T) {
	if m.dev != nil {
		m.resident[x] = cuda.Upload(m.dev, *x)
	}
}

// combine makes sx x + sy y.
func (m *machine[T]) combine(dst, x, y cuda.Ptr, sx, sy float64, n int) {
	m.dev.Launch("combine", n, dst, x, y, sx, sy)
}

// strip copies m columns of rows from one matrix into another.
func (b *builder[T]) strip(dst, src cuda.Ptr, dstWidth, dstAt, srcWidth, srcAt, m, rows int) {
	b.Engine.far.Launch("strip", m*rows, dst, src, dstWidth, dstAt, srcWidth, srcAt, m)
}

// gathers is the kernel of links: k results of m numbers in each of so many
// channels of an example.
func (b *builder[T]) gathers(t cuda.Links, channels, k, m int) func(c *remote) {
	f := b.Engine.far
	if f == nil {
		return nil
	}
	table := f.Table(t)
	return func(c *remote) {
		f.Launch("gather", c.n*channels*k, c.dst, c.in[0], table.Start, table.List, table.Weight, k, m, c.add)
	}
}

// farUpdate changes a tensor.
func (b *builder[T]) farUpdate(t int, d *program.Dense) func(c *remote) {
	f := b.Engine.far
	if f == nil {
		return nil
	}
	if d == nil {
		return func(c *remote) { f.rule.Apply(t, c.in[0]) }
	}
	scaled := [2]cuda.Ptr{f.Alloc(cuda.Bytes[T](b.opt.Batch * d.Outer * d.Rows)), f.Alloc(cuda.Bytes[T](b.opt.Batch * d.Outer * d.Cols))}
	return func(c *remote) {
		in, alpha, beta := f.rule.Scale(t, c.in, scaled, c.n*d.Outer)
		outer(&b.there, d, &remote{in: in, n: c.n}, alpha, beta, f.Tensors[t])
	}
}
