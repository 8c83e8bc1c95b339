package wire

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	mmap "github.com/edsrzf/mmap-go"
)

// File is an indexed ONNX file. Its methods and those of its tensors may be
// used from several goroutines at a time.
type File struct {
	Model Model
	Graph Graph

	name string
	// dir is the folder of the file, base its name there.
	dir, base string
	data      []byte
	// mapped is data when it is mapped.
	mapped mmap.MMap
	// inner holds the names defined in subgraphs.
	inner map[string]struct{}
	// hidden has the data files of tensors outside the main graph's initializers
	// and attributes.
	hidden []string

	mu       sync.Mutex
	external map[string]*externalFile
	// releasing is the work of Release.
	releasing sync.WaitGroup
}

// Options are the circumstances of [Parse].
type Options struct {
	// Name names the source in messages; empty means none.
	Name string
	// Dir is the folder that external data is relative to; empty means that
	// external data cannot be read.
	Dir string
}

// Open maps a file and indexes it. The File must be closed; views of its
// tensors end with it.
func Open(path string) (*File, error) {
	fd, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer fd.Close()
	f := &File{name: path, dir: filepath.Dir(path), base: filepath.Base(path)}
	info, err := fd.Stat()
	if err != nil {
		return nil, fileError(path, err)
	}
	if info.IsDir() {
		return nil, &Error{File: path, Offset: -1, Msg: "this is a folder: name the .onnx file in it"}
	}
	f.data, f.mapped, err = content(fd, info)
	if err != nil {
		return nil, fileError(path, err)
	}
	if err := f.Guard(f.index); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Parse indexes bytes, which must not change while the File is in use.
func Parse(data []byte, opt Options) (*File, error) {
	f := &File{name: opt.Name, dir: opt.Dir, data: data}
	if err := f.index(); err != nil {
		return nil, err
	}
	return f, nil
}

// ParseTensor reads one serialized TensorProto, such as the inputs and outputs
// of ONNX's conformance tests. The tensor has no external data.
func ParseTensor(data []byte) (*Tensor, error) {
	p := newParser(&File{data: data, inner: map[string]struct{}{}}, data)
	s := p.scan(span{0, 0, len(data)})
	t := &Tensor{}
	s.tensor(t)
	if s.err != nil {
		return nil, s.err
	}
	return t, nil
}

func (f *File) index() error {
	f.inner = map[string]struct{}{}
	if err := newParser(f, f.data).parseModel(); err != nil {
		if other := sniff(f.data); other != "" {
			err = &Error{File: f.name, Offset: -1, Msg: other}
		}
		return err
	}
	return nil
}

// maps reports whether an address lies in the memory to which the file, or one
// of its files of external data, is mapped.
func (f *File) maps(addr uintptr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if within(f.mapped, addr) {
		return true
	}
	for _, x := range f.external {
		if within(x.mapped, addr) {
			return true
		}
	}
	return false
}

// within reports whether an address lies in the pages of b.
func within(b []byte, addr uintptr) bool {
	if len(b) == 0 {
		return false
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return addr >= at && addr-at < uintptr(len(b))
}

// Size returns the size of the file in bytes.
func (f *File) Size() int64 { return int64(len(f.data)) }

// mapping tells whether files are mapped. Windows lets nobody replace a file that is mapped, as
// balancing a model in place does, so that files are read there.
const mapping = runtime.GOOS != "windows"

// content maps a regular file, and reads what cannot be mapped.
func content(fd *os.File, info fs.FileInfo) ([]byte, mmap.MMap, error) {
	if mapping && info.Mode().IsRegular() && info.Size() > 0 {
		if m, err := mmap.Map(fd, mmap.RDONLY, 0); err == nil {
			return m, m, nil
		}
	}
	b, err := io.ReadAll(fd)
	return b, nil, err
}

func fileError(path string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return &Error{File: path, Offset: -1, Msg: err.Error(), cause: err}
}

// Release tells the operating system that the pages of the file and of its
// external data are not needed soon, and returns at once. To give up the pages
// of a large file takes a seventh of the time in which its weights are summed,
// so that is done beside what the caller does next. Views of tensors stay valid:
// what is read again is mapped again.
func (f *File) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	mapped := []mmap.MMap{f.mapped}
	for _, x := range f.external {
		mapped = append(mapped, x.mapped)
	}
	f.releasing.Go(func() {
		for _, m := range mapped {
			// In pieces: nothing else can be mapped during a call.
			for b := range slices.Chunk(m, releasePiece) {
				release(b)
			}
		}
	})
}

// releasePiece is a multiple of the size of a page.
const releasePiece = 4 << 20

// Close unmaps the file and its external data. Views of tensors must not be
// used afterwards.
func (f *File) Close() error {
	f.releasing.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, x := range f.external {
		if x.mapped != nil {
			errs = append(errs, x.mapped.Unmap())
		}
	}
	f.external = nil
	if f.mapped != nil {
		errs = append(errs, f.mapped.Unmap())
		f.mapped = nil
	}
	f.data = nil
	return errors.Join(errs...)
}
