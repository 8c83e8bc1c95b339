package lower

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// hidden is what is not evaluated of one operator, for one reason.
type hidden struct {
	op, reason, first string
	count             int
}

// opaque makes the current operator a function that is not evaluated. What it reads
// ends there, its weights are layers inside it, and where the file says of which
// shape its outputs are the network goes on behind them; else what reads them is not
// evaluated either.
func (o *op) opaque(reason string) {
	var in []*value
	within, err := o.within()
	if err != nil {
		o.warnings = append(o.warnings, fmt.Sprintf("%s: its subgraphs cannot be read: %v", nodeLabel(o.node, o.index), err))
	}
	operands := slices.Concat(o.in, within, o.layers)
	o.mixes = o.mixes || slices.ContainsFunc(operands, func(v *value) bool { return v != nil && v.mixed })
	for k, v := range operands {
		switch {
		case v == nil:
		case !v.constant():
			if v.opaque == "" || v.node >= 0 {
				in = append(in, v)
			}
		default:
			// A vector or a matrix: what mixes samples is not behind all that is learned.
			o.severed = o.severed || o.mixes && v.con.Stored != nil && v.con.Kind == tensor.Floating && v.con.Size() > 1
			w := o.inside(v.con, k)
			if w != nil && o.layers == nil {
				in = append(in, w)
			}
			if w == nil && v.con.Stored != nil {
				v.con.Stored.Fixed = true // it is read as it is
			}
		}
	}
	// Layers inside come last.
	slices.SortStableFunc(in, func(a, b *value) int { return o.layer(a) - o.layer(b) })
	inside := 0
	for _, v := range in {
		inside += o.layer(v)
	}
	definition := o.definition(operands)
	var last *value
	for k, name := range o.node.Outputs {
		shape, elem, ok := o.declaredShape(name)
		if name == "" || !ok && last != nil {
			if name != "" {
				o.give(k, &value{opaque: reason, node: last.node, mixed: o.mixes})
			}
			continue
		}
		v := o.emit(&dag.Func{Kind: dag.Opaque, Why: reason, Inside: inside, Definition: definition}, shape, in...)
		o.roots = append(o.roots, v.node)
		v.elem = elem
		if !ok {
			v.opaque, v.mixed = reason, o.mixes
		}
		o.give(k, v)
		if last == nil {
			// Other outputs come from this one, so that the layers inside count once.
			in, inside = []*value{v}, 0
			if definition != nil {
				definition = func(w io.Writer) error {
					_, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(k)))
					return err
				}
			}
		}
		last = v
	}
	if o.readsOpaque() != "" { // told of already
		o.behind++
		return
	}
	label := nodeLabel(o.node, o.index)
	for i := range o.unseen {
		if h := &o.unseen[i]; h.op == opLabel(o.node) && h.reason == reason {
			h.count++
			return
		}
	}
	o.unseen = append(o.unseen, hidden{opLabel(o.node), reason, label, 1})
}

// layer is 1 for a layer inside the current operator.
func (o *op) layer(v *value) int {
	if v.inside {
		return 1
	}
	return 0
}

// declaredShape is the full shape of a value that the file states: every extent but
// that of the batch.
func (o *op) declaredShape(name string) (shape []int, elem wire.DataType, ok bool) {
	if o.call != nil || o.mixes {
		return nil, 0, false
	}
	for _, list := range [][]wire.ValueInfo{o.graph.ValueInfo, o.graph.Outputs} {
		for i := range list {
			v := &list[i]
			if v.Name != name || !v.Tensor || !v.HasShape {
				continue
			}
			for k, d := range v.Dims {
				switch {
				case k == 0 && !o.batchless && (!d.Known || d.Value == int64(o.declared)):
					shape = append(shape, tensor.BatchDim)
				case !d.Known || d.Value < 0:
					return nil, 0, false
				default:
					shape = append(shape, int(d.Value))
				}
			}
			return shape, v.ElemType, tensor.Fits(shape) && len(shape) > 0
		}
	}
	return nil, 0, false
}

// inside returns operand k, a stored tensor of two or more axes, as a layer inside an
// operator; nil for others. The rows are those of the operator's own reading where
// it is known, else the first axis.
func (o *op) inside(t *tensor.Tensor, k int) *value {
	if broadcasting[o.node.OpType] || o.node.OpType == "PRelu" {
		return nil // biases and slopes
	}
	if t.Stored == nil || t.Kind != tensor.Floating || len(t.Dims) < 2 || t.Size() == 0 {
		return nil
	}
	u, err := o.use(t, k)
	if err != nil {
		return nil
	}
	var m dag.Map
	r := len(t.Dims)
	rows := t.Dims[0]
	switch {
	case o.node.OpType == "Conv" && r > 2:
		if groups := int(o.int("group", 1)); groups > 0 && rows%groups == 0 {
			m = &dag.Conv{W: u, InChannels: t.Dims[1] * groups, OutChannels: rows, Groups: groups, Window: dag.NewWindow(t.Dims[2:], t.Dims[2:])}
		}
	case r == 2 && (o.node.OpType == "MatMul" && k == 1 || o.node.OpType == "Gemm" && k == 1 && o.int("transB", 0) == 0):
		m = &dag.Dense{W: u, Rows: t.Dims[1], Cols: rows, InOut: true}
	}
	if m == nil {
		m = &dag.Dense{W: u, Rows: rows, Cols: t.Size() / rows}
	}
	return o.layerInside(m)
}

// layerInside is a linear map as a layer inside the current operator.
func (o *op) layerInside(m dag.Map) *value {
	from := o.emit(&dag.Func{
		Kind: dag.Opaque, Why: "it stands for what a layer inside an operator reads", Definition: func(io.Writer) error { return nil },
	}, []int{m.In().Len()})
	out := o.emit(&dag.Linear{Map: m}, []int{m.Out().Len()}, from)
	out.inside = true
	return out
}

// unevaluated tells what is not evaluated, a line for each operator and reason.
func (l *lowering) unevaluated() []string {
	var out []string
	for _, h := range l.unseen {
		what := fmt.Sprintf("%s %q is", h.op, h.first)
		if h.count > 1 {
			what = fmt.Sprintf("%d nodes %s, the first %q, are", h.count, h.op, h.first)
		}
		out = append(out, what+" not evaluated: "+h.reason)
	}
	if l.behind > 0 {
		out = append(out, "what reads their values is not evaluated: "+words.Count(l.behind, "node"))
	}
	if len(out) > maxNamed {
		out = append(out[:maxNamed], fmt.Sprintf("%d more kinds of nodes are not evaluated", len(out)-maxNamed))
	}
	return out
}

// opaqueFrom returns the reason for which an operator that could not be lowered is
// kept as a function that is not evaluated: the limits of this program. A broken
// operator, for which there is no remedy, is refused.
func opaqueFrom(err error) (string, bool) {
	var r *refusal.Node
	if errors.As(err, &r) && r.Remedy != "" && !r.Limit {
		return r.Reason, true
	}
	return "", false
}

// readsOpaque returns why an operand has no numbers; empty where all have.
func (o *op) readsOpaque() string {
	for _, x := range o.in {
		if x != nil && x.opaque != "" {
			return strings.TrimPrefix(x.opaque, "it reads a value that is not evaluated: ")
		}
	}
	return ""
}
