package wire

import (
	"bytes"
	"io"
	"slices"
	"strconv"
)

// relocation is the place of one tensor in a new data file.
type relocation struct {
	tensor *Tensor
	offset int64
	size   int64
}

// Alignments in a data file: tensors of a page or more begin on a page, so that
// a reader can map them.
const (
	pageSize  = 4096
	smallSize = 64
)

// HasExternal says whether an initializer or a tensor in an attribute of the
// main graph has external data.
func (f *File) HasExternal() bool {
	found := false
	f.eachExternal(func(*Tensor, []span) { found = true })
	return found
}

// ExternalLocations lists the data files of all tensors, each once, as they are
// named in the file.
func (f *File) ExternalLocations() []string {
	out := slices.Compact(slices.Sorted(slices.Values(f.hidden)))
	f.eachExternal(func(t *Tensor, _ []span) {
		if t.External != nil && !slices.Contains(out, t.External.Path) {
			out = append(out, t.External.Path)
		}
	})
	return out
}

// eachExternal visits the tensors with external data and the messages that they
// lie in.
func (f *File) eachExternal(visit func(t *Tensor, within []span)) {
	g := &f.Graph
	for i := range g.Initializers {
		if t := &g.Initializers[i]; t.Encoding == External {
			visit(t, []span{g.span, t.span})
		}
	}
	for i := range g.Nodes {
		for j := range g.Nodes[i].Attributes {
			a := &g.Nodes[i].Attributes[j]
			if a.T != nil && a.T.Encoding == External {
				visit(a.T, []span{g.span, g.Nodes[i].span, a.span, a.T.span})
			}
		}
	}
}

// RelocateExternal moves all external data of the model, edited or not, to one
// new file at the location, which is relative to the folder of the output; that
// of initializers taken out before is left out. The model names the new places,
// without checksums; [Patch.WriteExternal] writes the file. External data in
// subgraphs, local functions or sparse tensors cannot be moved: an error.
func (p *Patch) RelocateExternal(location string) error {
	if _, err := localPath(location); err != nil {
		return p.fail("", "%v", err)
	}
	if p.location != "" {
		return p.fail("", "external data is relocated twice")
	}
	if p.f.hidden != nil {
		return p.fail("", "a tensor in a subgraph, a local function or a sparse tensor has external data, which cannot be moved: store the data in the model (onnx.save without external data)")
	}
	p.location = location
	var failed error
	end := int64(0)
	p.f.eachExternal(func(t *Tensor, within []span) {
		if _, gone := p.removed[t]; gone {
			return
		}
		size, err := t.check()
		if err != nil {
			if failed == nil {
				failed = err
			}
			return
		}
		r := relocation{tensor: t, offset: aligned(end, size), size: int64(size)}
		end = r.offset + r.size
		p.relocated = append(p.relocated, r)
		p.redirect(r, within)
	})
	return failed
}

// aligned returns where a tensor of the given size begins at or after end.
func aligned(end int64, size int) int64 {
	to := int64(smallSize)
	if size >= pageSize {
		to = pageSize
	}
	return (end + to - 1) / to * to
}

// redirect rewrites the external_data entries of a tensor; entries with other
// keys stay.
func (p *Patch) redirect(r relocation, within []span) {
	var with rope
	for _, x := range []Entry{
		{"location", p.location},
		{"offset", strconv.FormatInt(r.offset, 10)},
		{"length", strconv.FormatInt(r.size, 10)},
	} {
		with.message(13, x.encode)
	}
	p.exchange(r.tensor.span, within, with, func(s *scanner) bool {
		if s.num != 13 {
			return false
		}
		switch e := s.appendEntry(nil, "external_data")[0]; e.Key {
		case "location", "offset", "length", "checksum":
			return true
		default:
			return false
		}
	})
}

// ExternalSize returns the size of the file that [Patch.WriteExternal] writes.
func (p *Patch) ExternalSize() int64 {
	if len(p.relocated) == 0 {
		return 0
	}
	last := p.relocated[len(p.relocated)-1]
	return last.offset + last.size
}

// WriteExternal writes the data file announced by [Patch.RelocateExternal] and
// returns the number of bytes.
func (p *Patch) WriteExternal(w io.Writer) (int64, error) {
	out := newOutput(w)
	at := int64(0)
	for _, r := range p.relocated {
		pad := bytes.Repeat([]byte{0}, int(r.offset-at))
		if _, err := out.Write(pad); err != nil {
			return out.written(err)
		}
		data, edited := p.external[r.tensor]
		if !edited {
			b, err := r.tensor.externalBytes(int(r.size))
			if err != nil {
				return out.written(err)
			}
			data = RawBytes(b)
		}
		x := part{payload: data, size: r.size, name: r.tensor.Name}
		if err := x.write(out); err != nil {
			return out.written(err)
		}
		at = r.offset + r.size
	}
	return out.written(nil)
}
