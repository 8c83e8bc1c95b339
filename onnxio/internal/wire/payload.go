package wire

import (
	"fmt"
	"io"
)

// Payload writes the elements of a tensor in raw form: fixed width, little
// endian, row-major. at is where they begin in the file, for payloads that write
// parts which end at round offsets: the operating system keeps those in larger
// pieces, and writes and maps them faster. It is called once for each time that
// the file is written.
type Payload func(w io.Writer, at int64) error

// RawBytes is the Payload of bytes in raw form.
func RawBytes(b []byte) Payload {
	return func(w io.Writer, _ int64) error {
		_, err := w.Write(b)
		return err
	}
}

// produce runs a payload for offset at and checks how much it writes.
func produce(w io.Writer, at int64, p Payload, size int64) error {
	c := &counter{w: w, left: size}
	if err := p(c, at); err != nil {
		return err
	}
	if c.left != 0 {
		return fmt.Errorf("payload wrote %d bytes, want %d", size-c.left, size)
	}
	return nil
}

// counter is a writer that takes a known number of bytes.
type counter struct {
	w    io.Writer
	left int64
}

func (c *counter) Write(b []byte) (int, error) {
	if int64(len(b)) > c.left {
		return 0, fmt.Errorf("payload wrote more than was announced")
	}
	n, err := c.w.Write(b)
	c.left -= int64(n)
	return n, err
}
