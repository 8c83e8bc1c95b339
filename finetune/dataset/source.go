package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"sync"

	"github.com/relupath/relupath/internal/memory"
	"github.com/relupath/relupath/internal/words"
)

// inflation bounds how much DEFLATE can expand: a stored bit of input gives at
// most a 258-byte match in two bits, 1032:1 (RFC 1951, section 3.2.5), and the
// stream's own header and trailer leave room to spare.
const inflation = 1032

// source reads one stream of known largest length: a file, a gzip file's
// content, a member of an archive.
type source struct {
	ctx  context.Context // ends a read, as r does
	name string          // for errors
	r    *bufio.Reader
	// left bounds the bytes still to come; exact unless the stream is packed.
	left   int64
	packed bool
	// size is the bytes that the file has for the stream.
	size int64
	// limit is how many examples of an array are read, 0 for all.
	limit int
	// labels says that they are class labels: those beyond are read too, and tell
	// the classes.
	labels bool
}

// plainSource reads the size bytes of r as they are.
func plainSource(ctx context.Context, name string, r io.Reader, size int64) *source {
	return &source{ctx: ctx, name: name, left: size, size: size, r: buffered(contextReader{ctx, r}, size)}
}

// newSource reads from r, which holds size bytes; a gzip stream is recognised
// by its first bytes, not by its name, and unpacked.
func newSource(ctx context.Context, name string, r io.Reader, size int64) (*source, error) {
	s := plainSource(ctx, name, r, size)
	if magic, _ := s.r.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return s, nil
	}
	z, err := gzip.NewReader(s.r)
	if err != nil {
		return nil, s.damaged(err)
	}
	s.unpack(z)
	return s, nil
}

// unpack reads on from z, which unpacks what s has read so far.
func (s *source) unpack(z io.Reader) {
	s.left = inflated(s.left)
	s.packed = true
	s.r = buffered(z, s.left)
}

// buffered reads r, of at most size bytes, in pieces.
func buffered(r io.Reader, size int64) *bufio.Reader {
	return bufio.NewReaderSize(r, int(min(size, 1<<16)))
}

// inflated bounds the length of what n packed bytes unpack to.
func inflated(n int64) int64 {
	if hi, lo := bits.Mul64(uint64(n), inflation); hi == 0 && lo < 1<<62 {
		return int64(lo)
	}
	return 1 << 62
}

// fromFile reads a file, of arrays the first limit examples unless that is 0: see source.
func fromFile[T any](ctx context.Context, path string, limit int, labels bool, read func(*source) (*T, error)) (*T, error) {
	f, info, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // reading finds every error that matters
	s, err := newSource(ctx, path, f, info.Size())
	if err != nil {
		return nil, err
	}
	if n := onDisk(info); n < s.size/2 {
		s.packed, s.size = true, n // sparse: it takes as little to make as a packed one
	}
	s.limit, s.labels = limit, labels
	return read(s)
}

// openFile opens a regular file.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, wrong(path, "", "cannot be opened", "").because(unwrapPath(err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = wrong(path, "", "is not a regular file", "give the file itself")
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// unwrapPath drops the path that os repeats in its errors.
func unwrapPath(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// damaged wraps an error of reading.
func (s *source) damaged(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return wrong(s.name, "", "reading was interrupted", "").because(err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return wrong(s.name, "", "the file ends too early", "it is truncated: fetch it again").because(io.ErrUnexpectedEOF)
	}
	return wrong(s.name, "", "cannot be read", "the file may be damaged: fetch it again").because(err)
}

// firstPiece is how much is allocated at first of a length that a packed stream
// declares.
const firstPiece = 1 << 20

// need says whether n more bytes can come; what names them in the error.
func (s *source) need(n int64, what string) error {
	if n >= 0 && n <= s.left {
		return nil
	}
	return wrong(s.name, "", fmt.Sprintf("%s should take %s, but at most %d are left", what, words.Count(n, "byte"), s.left),
		"the file is truncated or its header is damaged: fetch it again").because(io.ErrUnexpectedEOF)
}

// read returns the next n bytes; what names them in the error.
func (s *source) read(n int64, what string) ([]byte, error) {
	if err := s.need(n, what); err != nil {
		return nil, err
	}
	if err := s.room(n, what); err != nil {
		return nil, err
	}
	piece := n
	if s.packed {
		piece = min(n, firstPiece)
	}
	buf := make([]byte, piece)
	for done := int64(0); ; {
		k, err := io.ReadFull(s.r, buf[done:])
		done += int64(k)
		s.left -= int64(k)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, wrong(s.name, "", fmt.Sprintf("%s should take %s, but the file ends after %d of them", what, words.Count(n, "byte"), done),
				"the file is truncated: fetch it again").because(io.ErrUnexpectedEOF)
		case err != nil:
			return nil, s.damaged(err)
		case done == n:
			return buf, nil
		}
		// The stream has delivered that many bytes, so allocating twice as many
		// is in proportion.
		grown := make([]byte, min(n, 2*done))
		copy(grown, buf)
		buf = grown
	}
}

// room says whether memory has room for n bytes of the stream.
func (s *source) room(n int64, what string) error {
	return room(s.name, what, n, s.size, s.packed)
}

// skip passes over the next n bytes.
func (s *source) skip(n int64, what string) error {
	if err := s.need(n, what); err != nil {
		return err
	}
	k, err := io.CopyN(io.Discard, s.r, n)
	s.left -= k
	if err != nil {
		return s.damaged(err)
	}
	return nil
}

// end checks that the stream ends here; after names what was read.
func (s *source) end(after string) error {
	switch _, err := s.r.ReadByte(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return s.damaged(err)
	}
	return wrong(s.name, "", "bytes follow after "+after, "the header is damaged or the file has something appended: fetch it again")
}

// contextReader stops a long read when the context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// shareOfMemory is what the numbers of a packed or sparse file, or of a csv file, may
// take: a quarter of the memory, since they may be there a second time while they are
// converted.
const shareOfMemory = 4

// memoryShare is how many bytes one array, or the kept part of a csv file, may
// take. Tests set it.
var memoryShare = sync.OnceValue(func() int64 { return memory.Limit() / shareOfMemory })

// room says whether memory has room for n bytes of a file of so many bytes on the disk.
func room(file, what string, n, onDisk int64, packed bool) error {
	share := memoryShare()
	switch {
	case packed && n > max(share, onDisk):
		return tooMuch(file, fmt.Sprintf("%s unpacks to %s", what, words.Count(n, "byte")), share)
	case n > shareOfMemory*share:
		return wrong(file, "", fmt.Sprintf("%s takes %s, more than the memory (%d MiB)", what, words.Count(n, "byte"), shareOfMemory*share>>20), takeLess)
	}
	return nil
}

const takeLess = "take the first N examples with limit=N, or split the file"

// tooMuch is the error for data that memory has no room for.
func tooMuch(file, what string, share int64) error {
	return wrong(file, "", fmt.Sprintf("%s, more than a quarter of the memory (%d MiB)", what, share>>20), takeLess)
}
