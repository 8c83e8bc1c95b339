package render

import (
	"bytes"
	"io"
	"strings"
)

// Provenance says what made a result of which files.
type Provenance struct {
	Version string `json:"version"`
	Command string `json:"command"`
	// Date is that of the result, RFC 3339.
	Date  string       `json:"date"`
	Files []SourceFile `json:"files"`
}

// SourceFile is a file that was read.
type SourceFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// lines returns it for readers; none of nil.
func (p *Provenance) lines() []string {
	if p == nil {
		return nil
	}
	out := []string{p.Version + ", " + p.Date, p.Command}
	for _, f := range p.Files {
		out = append(out, f.SHA256+"  "+f.Path)
	}
	return allVisible(out)
}

// unclosed returns an object of JSON without its end.
func unclosed(object string) string {
	s := strings.TrimSuffix(strings.TrimSuffix(object, "\n"), "}")
	return strings.TrimSuffix(s, "\n")
}

// closing writes the end of an object of JSON, the provenance as its last field. The
// object is given without it.
func (p *Provenance) closing(w io.Writer, prefix, indent string) error {
	end, before := "}\n", ","
	if indent != "" {
		end, before = "\n"+prefix+"}\n", ",\n"+prefix+indent
	}
	if p != nil {
		var b bytes.Buffer
		b.WriteString(before + `"provenance":`)
		if indent != "" {
			b.WriteByte(' ')
		}
		if err := encodeJSON(&b, p, prefix+indent, indent); err != nil {
			return err
		}
		if _, err := w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n"))); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, end)
	return err
}
