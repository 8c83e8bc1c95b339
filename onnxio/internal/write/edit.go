package write

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// variant is one set of values that uses of a stored tensor have.
type variant struct {
	param *dag.Param
	uses  []*dag.Use
}

// Edits collects the edits that take a file, which old was read from, to net.
func Edits(f *wire.File, old, net *dag.Network) (*wire.Patch, error) {
	known := map[*dag.Param]bool{}
	for _, p := range old.Params() {
		known[p] = true
	}
	var order []*dag.Param
	variants, place := map[*dag.Param][]variant{}, map[*dag.Param]int{}
	for u := range net.Uses() {
		from := u.Param.Origin()
		if !known[from] {
			return nil, fmt.Errorf("onnxio: parameter %q is not of this model", u.Param.Name)
		}
		if variants[from] == nil {
			order = append(order, from)
		}
		// A variant is of one stored tensor.
		k, ok := place[u.Param]
		if !ok {
			k = len(variants[from])
			place[u.Param] = k
			variants[from] = append(variants[from], variant{param: u.Param})
		}
		variants[from][k].uses = append(variants[from][k].uses, u)
	}
	e := &exporter{Patch: wire.NewPatch(f), repointed: map[[2]int]string{}, unread: map[string]int{}}
	for _, from := range order {
		if v := variants[from]; len(v) > 1 || v[0].param != from {
			if err := e.edit(from, v); err != nil {
				return nil, err
			}
		}
	}
	if err := e.caps(f, old, net); err != nil {
		return nil, err
	}
	return e.Patch, nil
}

// exporter makes the edits of a patch.
type exporter struct {
	*wire.Patch
	// repointed holds the inputs of nodes that read a new initializer.
	repointed map[[2]int]string
	// unread counts the readers of each value that the edits take away.
	unread map[string]int
}

// edit stores the values that the uses of one Param have: one variant in the
// place of the stored tensor where that is free, the others in new
// initializers.
func (e *exporter) edit(from *dag.Param, all []variant) error {
	if from.Storage == dag.Unwritable {
		return fmt.Errorf("onnxio: %q was edited and cannot be written: %s", from.Name, from.Reason)
	}
	stored, _ := from.Ref.(*source.Tensor)
	stay := -1
	if stored != nil && from.Storage == dag.InPlace {
		stay = inPlace(from, all)
	}
	for i := range all {
		v := &all[i]
		switch {
		case v.param == from:
		case i == stay:
			if err := e.replace(stored, v.param); err != nil {
				return err
			}
		default:
			if err := e.split(from, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// inPlace picks the variant that the stored tensor holds: the stored values if
// a use keeps them, else that of the most uses.
func inPlace(from *dag.Param, all []variant) int {
	best := -1
	for i := range all {
		if all[i].param == from {
			return i
		}
		if all[i].param.Len() == from.Len() && (best < 0 || len(all[i].uses) > len(all[best].uses)) {
			best = i
		}
	}
	return best
}

func (e *exporter) replace(s *source.Tensor, p *dag.Param) error {
	if s.Initializer >= 0 {
		return e.ReplaceInitializer(s.Initializer, payload(p))
	}
	return e.ReplaceAttribute(s.Node, s.Attribute, payload(p))
}

// split adds initializers for a variant and makes its uses read them.
func (e *exporter) split(from *dag.Param, v *variant) error {
	type form struct {
		dims    string
		swapped bool
		turns   string
	}
	made := map[form]string{}
	for _, u := range v.uses {
		at, ok := u.Site.(*source.Site)
		if !ok || at.Input < 0 {
			return fmt.Errorf("onnxio: %q was edited and its use is no operand that can read another tensor", from.Name)
		}
		p, dims := v.param, v.param.Shape
		if n := dag.Size(at.Dims); p.Len() == 1 && from.Len() == 1 && n > 1 { // one number that the graph repeats
			p = p.WithValues(at.Dims, slices.Repeat(p.Values(), n))
			dims = at.Dims
		} else if p.Len() == from.Len() {
			dims = at.Dims
		}
		f := form{tensor.DimString(dims), at.Swapped, fmt.Sprint(at.Turns)}
		name, ok := made[f]
		if !ok {
			if at.Swapped {
				p = p.WithValues(dims, tensor.Permuted(p.Values(), []int{dims[1], dims[0]}, []int{1, 0}))
			}
			if len(at.Turns) > 0 && p.Len() == from.Len() {
				v := p.Values()
				for _, t := range slices.Backward(at.Turns) {
					back := t.Undo()
					v = tensor.Permuted(v, back.Dims, back.Perm)
				}
				p = p.WithValues(dims, v)
			}
			name = e.FreshName(from.Name)
			if err := e.AddInitializer(name, storedType(p.Type), lists.Convert[int64](dims), payload(p)); err != nil {
				return err
			}
			made[f] = name
		}
		if err := e.repoint(at, name); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) repoint(at *source.Site, name string) error {
	place := [2]int{at.Node, at.Input}
	if old, ok := e.repointed[place]; ok {
		if old == name {
			return nil
		}
		return fmt.Errorf("onnxio: input %d of node #%d is used twice with different values", at.Input, at.Node)
	}
	e.repointed[place] = name
	return e.RepointInput(at.Node, at.Input, name)
}

func storedType(t dag.DType) wire.DataType {
	return [...]wire.DataType{
		dag.Float32: wire.Float32, dag.Float64: wire.Float64,
		dag.Float16: wire.Float16, dag.BFloat16: wire.BFloat16,
	}[t]
}

// block is how many bytes are encoded at a time, queued how many may wait to be
// written: a processor's second-level cache holds them.
const (
	block  = 1 << 20
	queued = 2
)

// encodedBlock is bytes [lo, hi) of buf.
type encodedBlock struct {
	buf    []byte
	lo, hi int
}

// payload streams the values of a Param, so that a rescaled tensor is never
// there as a whole: one goroutine encodes blocks, another writes them. Blocks end at
// multiples of their size in the file.
func payload(p *dag.Param) wire.Payload {
	return func(w io.Writer, at int64) error {
		width := p.Type.Size()
		size := p.Len() * width
		inRange := p.Bound(2) < p.Type.Largest()/2
		free, full := make(chan []byte, queued), make(chan encodedBlock, queued)
		for range queued {
			free <- nil
		}
		var encoded, written error
		// Reading the weights panics when their file was cut off: each goroutine
		// closes its channel, so that the other does not wait for it.
		kernel.Parallel(2, 2, 1, func(part, _ int) {
			if part == 0 {
				defer close(full)
				for lo, hi := 0, block-int(at%block); lo < size; lo, hi = hi, hi+block {
					buf, ok := <-free
					if !ok {
						return
					}
					// A block may cut a number at either end.
					from, to := lo/width, (min(hi, size)+width-1)/width
					buf = p.AppendRaw(buf[:0], from, to)
					if !inRange {
						if i := notFinite(buf, p.Type); i >= 0 {
							encoded = fmt.Errorf("value %d of %q is not finite in %v: the factors are too large for the type", from+i, p.Name, p.Type)
							return
						}
					}
					full <- encodedBlock{buf, lo - from*width, min(hi, size) - from*width}
				}
				return
			}
			defer close(free)
			for b := range full {
				if _, written = w.Write(b.buf[b.lo:b.hi]); written != nil {
					return
				}
				free <- b.buf
			}
		})
		return cmp.Or(written, encoded)
	}
}

// notFinite returns the index of the first number in raw form whose exponent is
// that of infinities and NaN, -1 for none.
func notFinite(b []byte, t dag.DType) int {
	switch t {
	case dag.Float64:
		return exponentOnes(b, 8, 0x7ff0)
	case dag.Float32:
		return exponentOnes(b, 4, 0x7f80)
	case dag.BFloat16:
		return exponentOnes(b, 2, 0x7f80)
	}
	return exponentOnes(b, 2, 0x7c00)
}

// exponentOnes looks at the upper two bytes of each number.
func exponentOnes(b []byte, size int, mask uint16) int {
	for i := size - 2; i+2 <= len(b); i += size {
		if binary.LittleEndian.Uint16(b[i:])&mask == mask {
			return i / size
		}
	}
	return -1
}
