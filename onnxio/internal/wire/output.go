package wire

import (
	"bufio"
	"io"
)

// output gathers small writes and passes large ones on, and counts.
type output struct {
	*bufio.Writer
	to *total
}

// total counts what a writer takes.
type total struct {
	w io.Writer
	n int64
}

func (t *total) Write(b []byte) (int, error) {
	n, err := t.w.Write(b)
	t.n += int64(n)
	return n, err
}

func newOutput(w io.Writer) *output {
	t := &total{w: w}
	return &output{Writer: bufio.NewWriterSize(t, 1<<18), to: t}
}

// offset is where the next byte goes.
func (o *output) offset() int64 { return o.to.n + int64(o.Buffered()) }

// written ends the output: it returns how much was written, and err or what
// went wrong at the end.
func (o *output) written(err error) (int64, error) {
	if err == nil {
		err = o.Flush()
	}
	return o.to.n, err
}
