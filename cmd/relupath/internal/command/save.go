package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/relupath/relupath/internal/outfile"
)

// stdStream stands for standard input or output where a file is expected.
const stdStream = "-"

// existing says what becomes of a file that has the name of an output.
type existing int

const (
	kept     existing = iota // it stays: an error
	replaced                 // it is exchanged for the output
)

// existing is what --force says.
func (a *app) existing() existing {
	if a.force {
		return replaced
	}
	return kept
}

// vacant checks that an output may be written. It is asked before long work
// begins, and again before the result is put in place. Errors: the file exists
// and is to be kept, a model or data are read from it, the path is a directory or leads
// nowhere, the folder is missing.
func (a *app) vacant(path string, old existing) error { return a.vacantBut(path, old, "") }

// vacantAll is vacant for each of some outputs; an empty name is none.
func (a *app) vacantAll(old existing, paths ...string) error {
	for _, path := range paths {
		if path == "" {
			continue
		}
		if err := a.vacant(path, old); err != nil {
			return err
		}
	}
	return nil
}

// vacantBut is vacant for an output that may be one of the files that are read.
func (a *app) vacantBut(path string, old existing, source string) error {
	if path == stdStream {
		return nil
	}
	if path == "" {
		return usagef("the name of the file to write is empty")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir := filepath.Dir(path)
		d, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot write %s: there is no folder %s", path, dir)
		}
		if err != nil || !d.IsDir() {
			return fmt.Errorf("cannot write %s: %s is not a folder", path, dir)
		}
	case err != nil:
		return unwritten(path, err)
	case info.IsDir():
		return fmt.Errorf("cannot write %s: it is a folder; give the name of a file", path)
	case !info.Mode().IsRegular():
		return nil
	case old == kept:
		return fmt.Errorf("%s exists already: use --force to overwrite it", path)
	default:
		if err := a.notRead(path, info, source); err != nil {
			return err
		}
	}
	// Better now than after long work.
	target, err := resolve(path)
	if err != nil || a.sweptIn(filepath.Dir(target)) {
		return err
	}
	d, err := a.draft(target)
	if err != nil {
		return unwritten(path, err)
	}
	d.Remove()
	return nil
}

// reads notes the files that a model is read from, which no output replaces.
func (a *app) reads(files []string) {
	a.sumUp(files)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sources = append(a.sources, files...)
}

// readsData notes the files that examples and inputs are read from, which no output
// replaces either.
func (a *app) readsData(files ...string) {
	a.sumUp(files)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.examples = append(a.examples, files...)
}

// notRead refuses an output that is a file that a model or data are read from, by
// whatever name, but for one.
func (a *app) notRead(path string, info fs.FileInfo, but string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range slices.Concat(a.sources, a.examples) {
		if s == but {
			continue
		}
		if from, err := os.Stat(s); err == nil && os.SameFile(from, info) {
			return fmt.Errorf("cannot write %s: this command reads %s from it; give another file", path, s)
		}
	}
	return nil
}

// unwritten names the file that the user asked for, not the temporary one that
// the system could not make.
func unwritten(path string, err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		err = p.Err
	case errors.As(err, &l):
		err = l.Err
	}
	return fmt.Errorf("cannot write %s: %w: choose another folder or free this one", path, err)
}

// distinct checks that no two outputs are one file, of which the later would
// find the earlier in its place. Empty paths, streams and devices do not count.
func distinct(paths ...string) error {
	seen := map[string]bool{}
	for _, path := range paths {
		if path == "" || path == stdStream || isDevice(path) {
			continue
		}
		name := filepath.Clean(path)
		if target, err := resolve(path); err == nil {
			name = target
		}
		if seen[name] {
			return usagef("%s is to be written twice: give each output a file of its own", path)
		}
		seen[name] = true
	}
	return nil
}

// isDevice reports whether path is there and is no regular file: a device or a
// pipe, which cannot be renamed over.
func isDevice(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular()
}

// save writes a file so that it is either complete or not there; see package
// outfile. "-" is standard output.
func (a *app) save(path string, old existing, write func(io.Writer) error) error {
	a.keepRest()
	if path == stdStream {
		return write(a.out)
	}
	if err := a.vacant(path, old); err != nil {
		return err
	}
	if isDevice(path) {
		return a.toDevice(path, write)
	}
	target, err := resolve(path)
	if err != nil {
		return err
	}
	d, err := a.draft(target)
	if err != nil {
		return unwritten(path, err)
	}
	defer d.Remove()
	return d.Write(filepath.Base(target), func(w io.Writer) error {
		if err := write(w); err != nil {
			return err
		}
		a.keepRest()
		return a.vacant(path, old)
	})
}

// toDevice writes to a device or a pipe.
func (a *app) toDevice(path string, write func(io.Writer) error) error {
	var f *os.File
	err := a.waits.during(func() (err error) {
		f, err = os.OpenFile(path, os.O_WRONLY, 0)
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(write(waitWriter{&a.waits, f}), f.Close())
}

// draft makes a draft beside target, which goes when the process is ended by a
// signal.
func (a *app) draft(target string) (*outfile.Draft, error) {
	dir := filepath.Dir(target)
	d, err := outfile.New(target, outfile.Options{Unread: unread, Unswept: a.sweptIn(dir)})
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.drafts = append(a.drafts, d)
		if a.swept == nil {
			a.swept = map[string]bool{}
		}
		a.swept[dir] = true
	}
	return d, err
}

// sweptIn reports whether the command could make a draft in a folder before.
func (a *app) sweptIn(dir string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.swept[dir]
}

// resolve follows links, so that a link to a file stays one when the file is
// replaced. Errors: a link that leads nowhere.
func resolve(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	if to, err := os.Readlink(path); err == nil {
		return "", fmt.Errorf("cannot write %s: it is a link to %s, which does not exist; give that file itself, or remove the link", path, to)
	}
	dir, base := filepath.Split(filepath.Clean(path))
	if dir, err = filepath.EvalSymlinks(filepath.Clean(dir)); err != nil {
		return path, nil // the folder is missing, which is told elsewhere
	}
	return filepath.Join(dir, base), nil
}
