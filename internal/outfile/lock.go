package outfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// errTaken says that another process has a lock.
var errTaken = errors.New("outfile: the lock is taken")

// acquire opens a file with flags beside os.O_RDWR and takes its lock. The name must still lead to
// the file then: the one who had the lock before removes it. Where locks are not supported a file
// that may be made counts as taken by this process; of an old one nobody knows. Errors: the
// operating system's; errTaken where another process has it, or was faster;
// errors.ErrUnsupported.
func acquire(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flags, 0o666)
	if err != nil {
		return nil, err
	}
	if err = tryLock(f); err == nil || errors.Is(err, errors.ErrUnsupported) && flags&os.O_CREATE != 0 {
		mine, errMine := f.Stat()
		named, errNamed := os.Stat(path)
		if errMine == nil && errNamed == nil && os.SameFile(mine, named) {
			return f, nil
		}
		err = errTaken
	}
	return nil, errors.Join(err, f.Close())
}

// dropLock removes a locked file and gives the lock up.
func dropLock(f *os.File) {
	err := os.Remove(f.Name())
	_ = f.Close()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = os.Remove(f.Name()) // Windows removes no open file
	}
}

// folderLock is the file whose lock a process has that works in a folder.
const folderLock = "relupath.lock"

// Lock takes a folder, which must exist, for this process until unlock is
// called or the process ends. Where the file system has no locks it succeeds.
// Errors: the operating system's; an *InUseError.
func Lock(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, folderLock)
	for {
		f, err := acquire(path, os.O_CREATE)
		switch {
		case err == nil:
			host, _ := os.Hostname()
			// Who has it is told to others; nothing depends on it.
			_ = f.Truncate(0)
			_, _ = f.WriteAt(fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0)
			return func() { dropLock(f) }, nil
		case !errors.Is(err, errTaken):
			return nil, err
		}
		holder, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just been given up
		}
		inUse := &InUseError{Dir: dir}
		if err == nil {
			text, _ := io.ReadAll(io.LimitReader(holder, 200))
			_ = holder.Close()
			inUse.Holder = strings.TrimSpace(string(text))
		}
		return nil, inUse
	}
}
