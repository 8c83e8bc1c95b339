package wire

import (
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// rope is a message under construction: bytes, and payloads of known size that
// are made when it is written.
type rope struct {
	parts []part
	size  int64
}

// part is bytes, or a payload with the name of its tensor.
type part struct {
	bytes   []byte
	payload Payload
	size    int64
	name    string
}

// write writes one part.
func (p *part) write(w *output) error {
	if p.payload == nil {
		_, err := w.Write(p.bytes)
		return err
	}
	err := produce(w, w.offset(), p.payload, p.size)
	if err == nil {
		return nil
	}
	return &Error{Path: "tensor \"" + p.name + "\"", Offset: -1, Msg: err.Error(), cause: err}
}

// grow appends what f appends to the last run of bytes.
func (r *rope) grow(f func(b []byte) []byte) {
	if len(r.parts) == 0 || r.parts[len(r.parts)-1].payload != nil {
		r.parts = append(r.parts, part{})
	}
	last := &r.parts[len(r.parts)-1]
	before := len(last.bytes)
	last.bytes = f(last.bytes)
	last.size = int64(len(last.bytes))
	r.size += int64(len(last.bytes) - before)
}

func (r *rope) varint(num protowire.Number, v uint64) {
	r.grow(func(b []byte) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
	})
}

func (r *rope) float(num protowire.Number, v float32) {
	r.grow(func(b []byte) []byte {
		return protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), math.Float32bits(v))
	})
}

func (r *rope) string(num protowire.Number, v string) {
	r.header(num, int64(len(v)))
	r.grow(func(b []byte) []byte { return append(b, v...) })
}

// optional writes a string unless it is empty.
func (r *rope) optional(num protowire.Number, v string) {
	if v != "" {
		r.string(num, v)
	}
}

func (r *rope) strings(num protowire.Number, v []string) {
	for _, s := range v {
		r.string(num, s)
	}
}

// header begins a length-delimited field.
func (r *rope) header(num protowire.Number, size int64) {
	r.grow(func(b []byte) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(size))
	})
}

// payload appends size bytes made by p.
func (r *rope) payload(name string, size int64, p Payload) {
	r.parts = append(r.parts, part{payload: p, size: size, name: name})
	r.size += size
}

// message appends a field that holds what f builds.
func (r *rope) message(num protowire.Number, f func(m *rope)) {
	var m rope
	f(&m)
	r.header(num, m.size)
	for _, p := range m.parts {
		if p.payload == nil {
			r.grow(func(b []byte) []byte { return append(b, p.bytes...) })
		} else {
			r.payload(p.name, p.size, p.payload)
		}
	}
}

// writeTo writes the parts in turn.
func (r *rope) writeTo(w io.Writer) (int64, error) {
	out := newOutput(w)
	for i := range r.parts {
		if err := r.parts[i].write(out); err != nil {
			return out.written(err)
		}
	}
	return out.written(nil)
}
