package command

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// stdStream stands for standard input or output where a file is expected.
const stdStream = "-"

// vacant checks that an output may be written. It is asked before long work
// begins, and again before the result is put in place. Errors: the file exists
// and --force was not given, the path is a directory, the folder is missing.
func (a *app) vacant(path string) error {
	if path == stdStream {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case path == "":
		return usagef("the name of the file to write is empty")
	case errors.Is(err, fs.ErrNotExist):
		dir := filepath.Dir(path)
		if d, err := os.Stat(dir); err != nil || !d.IsDir() {
			return fmt.Errorf("cannot write %s: %s is not a folder", path, dir)
		}
		return writable(path)
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("cannot write %s: it is a folder; give the name of a file", path)
	case info.Mode().IsRegular() && !a.force:
		return fmt.Errorf("%s exists already: use --force to overwrite it", path)
	case info.Mode().IsRegular():
		return writable(path)
	}
	return nil
}

// writable tries whether a file can be made beside path, as everything that is
// written is at first: better now than after long work.
func writable(path string) error {
	tmp, err := temporary(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return unwritten(path, err)
	}
	return errors.Join(f.Close(), os.Remove(tmp))
}

// unwritten names the file that the user asked for, not the temporary one that
// the system could not make.
func unwritten(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
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
		if path = filepath.Clean(path); seen[path] {
			return usagef("%s is to be written twice: give each output a file of its own", path)
		}
		seen[path] = true
	}
	return nil
}

// isDevice reports whether path is there and is no regular file: a device or a
// pipe, which cannot be renamed over.
func isDevice(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular()
}

// save writes a file so that it is either complete or not there: into a
// temporary file beside the target, renamed at the end. "-" is standard output.
func (a *app) save(path string, write func(io.Writer) error) error {
	if path == stdStream {
		return write(a.out)
	}
	if err := a.vacant(path); err != nil {
		return err
	}
	if isDevice(path) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	tmp, err := temporary(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return unwritten(path, err)
	}
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err == nil {
		err = a.place(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// temporary returns a new name beside the file that path is or points to.
func temporary(path string) (string, error) {
	target, err := resolve(path)
	if err != nil {
		return "", err
	}
	var r [6]byte
	if _, err := rand.Read(r[:]); err != nil {
		return "", err
	}
	dir, base := filepath.Split(target)
	return filepath.Join(dir, "."+base+"."+hex.EncodeToString(r[:])), nil
}

// resolve follows links, so that a link to a file stays one when the file is
// replaced.
func resolve(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	return target, err
}

// place renames a finished temporary file to its target.
func (a *app) place(tmp, path string) error {
	if err := a.vacant(path); err != nil {
		return err
	}
	target, err := resolve(path)
	if err != nil {
		return err
	}
	return os.Rename(tmp, target)
}
