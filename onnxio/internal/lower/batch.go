package lower

import (
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// lowerGraph lowers the nodes that outputs need, and finds shapes with which the model
// can be read where they are open: see hint.
func lowerGraph(f *wire.File, order []int, opt Options) *lowering {
	l := lowerOnce(f, order, opt)
	l.hint(order)
	return l
}

// lowerOnce is lowerGraph without hints.
func lowerOnce(f *wire.File, order []int, opt Options) *lowering {
	l := lowerBatch(f, order, opt, true)
	if l.unforked {
		l = lowerBatch(f, order, opt, false)
	}
	return l
}

// lowerBatch lowers the graph with the first axis of the inputs as the batch. Where an
// operator mixes the samples along it there are two ways. Behind the last weights it is
// left out, with what reads it: what is measured is before it. Elsewhere, and where the
// extents are known and no output would be left or the batch is of one sample, all axes are
// parts of one sample.
func lowerBatch(f *wire.File, order []int, opt Options, forks bool) *lowering {
	l := &lowering{file: f, graph: &f.Graph, opt: opt, forks: forks}
	l.run(order)
	if l.batch == nil {
		return l
	}
	why := l.batch.Reason
	if l.batch.At != "" {
		why = l.batch.At + ": " + why
	}
	if !opt.Whole && l.declared != 1 {
		// What merges the batch with other axes is left out only where they stay merged.
		for _, plain := range []bool{false, true} {
			cut := &lowering{file: f, graph: &f.Graph, opt: opt, forks: forks, cuts: true, plain: plain}
			if !plain {
				cut.mixed = why
			}
			cut.run(order)
			if cut.batch == nil && !cut.severed && cut.measured() && (cut.declared == 0 || len(cut.outputs) > 0) {
				return cut
			}
		}
	}
	l = &lowering{file: f, graph: &f.Graph, opt: opt, forks: forks, batchless: true}
	l.run(order)
	l.current = nil
	for _, in := range l.open {
		// What the model computes depends on the extent.
		l.unknown = append(l.unknown, unknownShape{in, len(l.obstacles)})
		l.obstacle(Obstacle{
			Node: in.Name, Op: "graph input",
			Reason: "its first axis is left open and is no batch of separate samples: " + why,
		})
	}
	return l
}

// measured reports whether there is a layer.
func (l *lowering) measured() bool {
	for i := range l.nodes {
		if op, ok := l.nodes[i].Op.(*dag.Linear); ok && op.Map != nil && op.Free() {
			return true
		}
	}
	return false
}
