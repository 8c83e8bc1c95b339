package outfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// prefix begins the names of drafts: prefix, machine, "-", 12 random digits.
const prefix = ".relupath-"

// IsDraft reports whether a file's name is that of a draft.
func IsDraft(name string) bool { return strings.HasPrefix(name, prefix) }

// IsOwn reports whether a file's name is that of a draft or of a lock.
func IsOwn(name string) bool { return IsDraft(name) || name == folderLock }

// The files of a draft that are the package's own.
const (
	lockName    = "lock"
	journalName = "journal"
)

// Options say how drafts are made. The zero value works.
type Options struct {
	// Unread reports whether nothing reads a file that a dead process would have
	// removed. Default: drafts with such files are left alone.
	Unread func(path string) bool
	// Unswept leaves what dead processes left, for those who make many drafts in a
	// folder: to look for it reads the folder.
	Unswept bool
}

// Draft is a hidden folder beside an output. Its methods may be called from
// several goroutines.
type Draft struct {
	mu   sync.Mutex
	dir  string
	lock *os.File
}

// Files are what [Draft.Place] puts in place, as names in the draft and beside
// it.
type Files struct {
	// Main is renamed last, over the file that has its name.
	Main string
	// Beside are renamed first. They must not exist.
	Beside []string
	// Stale are files beside the draft that nothing reads once Main is in place.
	// They are removed then.
	Stale []string
}

// New makes a draft in the folder of target, which is no link, and, unless opt says
// otherwise, removes what dead processes left there. Errors: the operating system's.
func New(target string, opt Options) (*Draft, error) {
	parent := filepath.Dir(target)
	machine := machineName()
	for {
		dir := filepath.Join(parent, fmt.Sprintf("%s%s-%012x", prefix, machine, rand.Uint64N(1<<48)))
		if err := os.Mkdir(dir, 0o777); err != nil {
			return nil, err
		}
		lock, err := acquire(filepath.Join(dir, lockName), os.O_CREATE|os.O_EXCL)
		if errors.Is(err, errTaken) || errors.Is(err, fs.ErrNotExist) {
			continue // another process took it for that of a dead one
		}
		if err != nil {
			_ = os.RemoveAll(dir)
			return nil, err
		}
		if !opt.Unswept {
			sweep(parent, machine, opt)
		}
		return &Draft{dir: dir, lock: lock}, nil
	}
}

// Path returns where a file of the draft is written.
func (d *Draft) Path(name string) string { return filepath.Join(d.dir, name) }

// Sync waits until a file of the draft is on the disk.
func (d *Draft) Sync(name string) error {
	f, err := os.OpenFile(d.Path(name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Place puts the files in place and removes the draft. Errors: the operating
// system's, fs.ErrExist for a file of Beside that is there. After an error what
// was there before is whole.
func (d *Draft) Place(f Files) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent := filepath.Dir(d.dir)
	if len(f.Beside)+len(f.Stale) > 0 {
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		// Under its name the journal is whole.
		part := d.Path(journalName + ".part")
		if err := errors.Join(os.WriteFile(part, text, 0o666), d.Sync(filepath.Base(part))); err != nil {
			return err
		}
		if err := os.Rename(part, d.Path(journalName)); err != nil {
			return err
		}
	}
	undone := func(err error, beside []string) error {
		for _, done := range beside {
			err = errors.Join(err, os.Remove(filepath.Join(parent, done)))
		}
		return err
	}
	for i, name := range f.Beside {
		if err := move(d.Path(name), filepath.Join(parent, name)); err != nil {
			return undone(err, f.Beside[:i])
		}
	}
	if err := os.Rename(d.Path(f.Main), filepath.Join(parent, f.Main)); err != nil {
		return undone(err, f.Beside)
	}
	if len(f.Stale) > 0 {
		syncFolder(parent)
	}
	for _, name := range f.Stale {
		// A file that stays costs space, the output is whole.
		_ = os.Remove(filepath.Join(parent, name))
	}
	d.remove()
	return nil
}

// syncFolder waits until the names in a folder are on the disk. Windows, which has them there
// with their files, refuses.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		_ = f.Close()
	}
}

// move renames a file to a name that nothing has.
func move(from, to string) error {
	switch err := os.Link(from, to); {
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// The file system has no links.
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}

// Remove removes the draft. It can be called again, and after Place.
func (d *Draft) Remove() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove()
}

func (d *Draft) remove() {
	if d.lock != nil && discard(d.dir, d.lock) {
		d.lock = nil
	}
}

// discard removes a draft that this process has the lock of, and reports whether
// it could. The lock goes last, so that what is left is found by another run.
func discard(dir string, lock *os.File) bool {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return false
		}
	}
	dropLock(lock)
	_ = os.Remove(dir)
	return true
}

// Write writes one file by way of a draft: it is complete, or what was there
// before stays. path is no link.
func Write(path string, write func(io.Writer) error) error {
	d, err := New(path, Options{})
	if err != nil {
		return err
	}
	defer d.Remove()
	return d.Write(filepath.Base(path), write)
}

// Write writes a file of the draft and puts it in place.
func (d *Draft) Write(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(d.Path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return d.Place(Files{Main: name})
}

// InUseError says that another process works in a folder.
type InUseError struct {
	Dir string
	// Holder names the process; empty where it is not known.
	Holder string
}

func (e *InUseError) Error() string {
	by := "another process"
	if e.Holder != "" {
		by = e.Holder
	}
	return fmt.Sprintf("%s is in use by %s: wait for its end, or give another folder", e.Dir, by)
}
