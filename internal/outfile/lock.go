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

// lockNew makes a file and takes its lock. Errors: the operating system's;
// errTaken where another process was faster.
func lockNew(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return owned(f, tryLock(f), path)
}

// lockOld takes the lock of a file that is there. Where locks are not supported
// it gives errTaken: nobody knows then.
func lockOld(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	err = tryLock(f)
	if errors.Is(err, errors.ErrUnsupported) {
		err = errTaken
	}
	return owned(f, err, path)
}

// owned returns a locked file whose name still leads to it: the one who had the
// lock before removes the file. A lock that is not supported counts as taken by
// this process.
func owned(f *os.File, locked error, path string) (*os.File, error) {
	if locked == nil || errors.Is(locked, errors.ErrUnsupported) {
		a, err := f.Stat()
		b, errPath := os.Stat(path)
		if err == nil && errPath == nil && os.SameFile(a, b) {
			return f, nil
		}
		locked = errTaken
	}
	return nil, errors.Join(locked, f.Close())
}

// dropLock removes a locked file and gives the lock up.
func dropLock(f *os.File) {
	if removeOpen {
		_ = os.Remove(f.Name())
		_ = f.Close()
		return
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
}

// folderLock is the file whose lock a process has that works in a folder.
const folderLock = "relupath.lock"

// Lock takes a folder, which must exist, for this process until unlock is
// called or the process ends. Where the file system has no locks it succeeds.
// Errors: the operating system's; an *InUseError.
func Lock(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, folderLock)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		lock, err := owned(f, tryLock(f), path)
		switch {
		case err == nil:
			host, _ := os.Hostname()
			// Who has it is told to others; nothing depends on it.
			_ = lock.Truncate(0)
			_, _ = lock.WriteAt(fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0)
			return func() { dropLock(lock) }, nil
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
