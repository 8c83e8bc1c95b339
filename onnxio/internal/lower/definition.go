package lower

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// definition writes what the current operator, which is not evaluated, is in the file: its name, its
// attributes byte for byte and the constants that it reads. It is nil where it depends on what stands
// elsewhere: parameters of a local function, functions that a subgraph may call, external data.
func (o *op) definition(operands []*value) func(w io.Writer) error {
	n, file := o.node, o.file
	for i := range n.Attributes {
		a := &n.Attributes[i]
		if a.RefAttrName != "" || a.Graphs > 0 && len(file.Model.Functions) > 0 || file.Raw(a) == nil {
			return nil
		}
	}
	head := []any{wire.Domain(n.Domain), n.OpType, n.Overload, o.opsets[wire.Domain(n.Domain)]}
	for i := range n.Attributes {
		if n.Attributes[i].Graphs > 0 {
			head = append(head, file.Model.OpsetImports)
			break
		}
	}
	var constants []*tensor.Tensor
	unnamed := false // a value that has no node of its own
	for k, v := range operands {
		what := ""
		switch {
		case v == nil:
			what = "none"
		case v.constant():
			constants = append(constants, v.con)
			what = "constant"
		case v.opaque != "" && k < len(n.Inputs):
			what = n.Inputs[k]
		}
		head = append(head, what)
	}
	for _, name := range n.Outputs[min(1, len(n.Outputs)):] {
		_, _, ok := o.declaredShape(name)
		unnamed = unnamed || !ok
	}
	if unnamed {
		head = append(head, n.Outputs)
	}
	return func(w io.Writer) error {
		err := json.NewEncoder(w).Encode(head)
		for i := range n.Attributes {
			_, e := w.Write(file.Raw(&n.Attributes[i]))
			err = errors.Join(err, e)
		}
		for _, c := range constants {
			err = errors.Join(err, writeConstant(w, c))
		}
		return err
	}
}

// writeConstant writes type, shape and numbers.
func writeConstant(w io.Writer, t *tensor.Tensor) error {
	_, err := fmt.Fprintln(w, t.DataType(), t.Dims, t.Swapped)
	switch {
	case err != nil:
		return err
	case t.Stored != nil:
		raw, _, err := t.Stored.Wire.Bytes()
		if err != nil {
			return err
		}
		_, err = w.Write(raw)
		return err
	}
	if t.Floats != nil {
		return writeWords(w, t.Floats, math.Float64bits)
	}
	return writeWords(w, t.Ints, func(x int64) uint64 { return uint64(x) })
}

// writeWords writes numbers of eight bytes, as binary.Write does by reflection.
func writeWords[T any](w io.Writer, of []T, bits func(T) uint64) error {
	buf := make([]byte, 0, 8<<10)
	for part := range slices.Chunk(of, cap(buf)/8) {
		buf = buf[:0]
		for _, x := range part {
			buf = binary.LittleEndian.AppendUint64(buf, bits(x))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}
