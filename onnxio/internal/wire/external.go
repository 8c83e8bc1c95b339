package wire

import (
	"errors"
	"fmt"
	"io/fs"
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
// it but that of [File.real].
func (f *File) openExternal(path string, x *externalFile) error {
	if f.dir == "" {
		return fmt.Errorf("the model was not read from a folder")
	}
	err := openBelow(f.dir, path, x)
	if err == nil {
		return nil
	}
	if dir, name, ok := f.real(path); ok && openBelow(dir, name, x) == nil {
		return nil
	}
	if strings.Contains(err.Error(), "escapes") { // the package os has no other sign
		return fmt.Errorf("a link to it leads out of the model's folder: put the data file itself beside the model")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no such file beside the model: put it there, under the name that the model gives it")
	}
	return err
}

// real returns where else data may be of a model that was named by a link, as in
// the cache of Hugging Face, where model and data are links to files of one other
// folder: beside the file that the model's link leads to, under the name that the
// data's link leads to or, without such a link, in that folder under the name that
// the model gives. The data's link may lie beside any link on the way to the model. No
// other file is read, whatever links an archive may hold: the model's own file would
// have to lie beside it.
func (f *File) real(path string) (dir, name string, ok bool) {
	link := filepath.Join(f.dir, f.base)
	model, err := filepath.EvalSymlinks(link)
	if err != nil {
		return "", "", false
	}
	dir = filepath.Dir(model)
	for range maxLinks {
		to, err := os.Readlink(link)
		if err != nil {
			break
		}
		ok = true
		if data, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(link), path)); err == nil {
			if filepath.Dir(data) == dir {
				return dir, filepath.Base(data), true
			}
			ok = false // there is such data, of another place
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(link), to)
		}
		link = to
	}
	return dir, path, ok
}

// maxLinks bounds the links on the way to a model.
const maxLinks = 40

// openBelow opens a regular file in or below a folder.
func openBelow(dir, path string, x *externalFile) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("not a regular file")
	}
	fd, err := root.Open(path)
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
		return nil, t.fail("external data wants bytes %d to %d of %q, which has %d", l.Offset, uint64(l.Offset)+uint64(size), l.Path, len(data))
	}
	return data[l.Offset:][:size:size], nil
}
