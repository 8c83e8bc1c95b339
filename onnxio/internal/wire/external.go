package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	mmap "github.com/edsrzf/mmap-go"
)

// externalFile is an opened data file, or why it cannot be opened.
type externalFile struct {
	data    []byte
	mapped  mmap.MMap
	problem string
}

// localPath checks a location and returns it in the system's form.
func localPath(location string) (string, error) {
	switch p := filepath.FromSlash(location); {
	case location == "":
		return "", fmt.Errorf("external data has an empty location")
	case filepath.IsAbs(p), strings.HasPrefix(location, "/"), strings.Contains(location, `\`), !filepath.IsLocal(p):
		return "", fmt.Errorf("external data at %q lies outside the model's folder: it must be beside the model or below it", location)
	default:
		return p, nil
	}
}

// externalData returns the content of a data file.
func (f *File) externalData(location string) ([]byte, error) {
	path, err := localPath(location)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.external[path]
	if x == nil {
		x = &externalFile{}
		if err := f.openExternal(path, x); err != nil {
			x.problem = fmt.Sprintf("external data %q: %v", location, err)
		}
		if f.external == nil {
			f.external = map[string]*externalFile{}
		}
		f.external[path] = x
	}
	if x.problem != "" {
		return nil, fmt.Errorf("%s", x.problem)
	}
	return x.data, nil
}

// openExternal opens a file below the model's folder, following no link out of
// it.
func (f *File) openExternal(path string, x *externalFile) error {
	if f.dir == "" {
		return fmt.Errorf("the model was not read from a folder")
	}
	if f.root == nil {
		root, err := os.OpenRoot(f.dir)
		if err != nil {
			return err
		}
		f.root = root
	}
	info, err := f.root.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("not a regular file")
	}
	fd, err := f.root.Open(path)
	if err != nil {
		return err
	}
	defer fd.Close()
	if info, err = fd.Stat(); err != nil {
		return err
	}
	x.data, x.mapped, err = content(fd, info)
	return err
}

// externalBytes returns the elements of a tensor with external data.
func (t *Tensor) externalBytes(size int) ([]byte, error) {
	l := t.External
	if l.Length >= 0 && l.Length != int64(size) {
		return nil, t.fail("external data has %d bytes, dims %v of %v want %d", l.Length, t.Dims, t.DType, size)
	}
	data, err := t.file.externalData(l.Path)
	if err != nil {
		return nil, t.fail("%v", err)
	}
	if int64(size) > int64(len(data))-l.Offset {
		return nil, t.fail("external data wants bytes %d to %d of %q, which has %d", l.Offset, l.Offset+int64(size), l.Path, len(data))
	}
	return data[l.Offset:][:size:size], nil
}
