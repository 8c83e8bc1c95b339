package render

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// Format is a way of writing a Document.
type Format string

// The formats.
const (
	TableFormat Format = "table"
	Markdown    Format = "markdown"
	LaTeX       Format = "latex"
	CSV         Format = "csv"
	JSON        Format = "json"
	JSONLines   Format = "jsonl"
	HTML        Format = "html"
)

// Formats lists every format.
func Formats() []string {
	return []string{string(TableFormat), string(Markdown), string(LaTeX), string(CSV), string(JSON), string(JSONLines), string(HTML)}
}

// defaultWidth is the width of a plain table where no terminal tells one.
const defaultWidth = 80

// Options tells how to write a Document.
type Options struct {
	// Format defaults to TableFormat.
	Format Format
	// Width is the number of columns that a plain table may take; 0 is 100.
	Width int
	// Digits is the number of significant digits that readers see; 0 is 5, and 3
	// in LaTeX. CSV and JSON have all.
	Digits int
	// Provenance says where the result is from, nil for nothing: in comments of LaTeX, at
	// the end of a page, in a field of JSON, below other tables. CSV has no place for it.
	Provenance *Provenance
	// Version and Date head a page: what made it, and when.
	Version, Date string
}

// Write writes d with all its words made visible. CSV and JSON, which may be long, are
// written as they are made, the others in one piece, so that a failure to render leaves
// nothing half written. Errors: w's, and a value that JSON cannot hold.
func Write(w io.Writer, d *Document, opt Options) error {
	if opt.Width <= 0 {
		opt.Width = defaultWidth
	}
	if opt.Digits <= 0 {
		opt.Digits = digits
		if opt.Format == LaTeX {
			opt.Digits = paperDigits
		}
	}
	if opt.Format != JSON && opt.Format != JSONLines {
		d = d.visible()
	}
	if long := map[Format]func(io.Writer) error{
		CSV:       func(w io.Writer) error { return writeCSV(w, d) },
		JSON:      func(w io.Writer) error { return writeJSON(w, d, "  ", opt.Provenance) },
		JSONLines: func(w io.Writer) error { return writeJSON(w, d, "", opt.Provenance) },
	}[opt.Format]; long != nil {
		b := bufio.NewWriterSize(w, 1<<16)
		if err := long(b); err != nil {
			return err
		}
		return b.Flush()
	}
	var b bytes.Buffer
	var err error
	switch opt.Format {
	case TableFormat, "":
		err = writeText(&b, d, opt)
	case Markdown:
		err = writeMarkdown(&b, d, opt)
	case LaTeX:
		err = writeLaTeX(&b, d, opt)
	case HTML:
		err = writeHTML(&b, d, opt)
	default:
		panic(fmt.Sprintf("render: format %q", opt.Format))
	}
	if err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}
