package outfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// foreignAge is how long a draft of another machine must have been left alone
// to count as dead.
const foreignAge = 7 * 24 * time.Hour

// sweep removes the drafts of dead processes in a folder. What cannot be removed
// stays for another run.
func sweep(parent, machine string, opt Options) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !IsDraft(e.Name()) {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		if !strings.HasPrefix(e.Name(), prefix+machine+"-") && time.Since(changed(dir)) < foreignAge {
			continue
		}
		lock, err := acquire(filepath.Join(dir, lockName), 0)
		if errors.Is(err, fs.ErrNotExist) {
			// Killed before it had a lock, or being made: its maker then finds it
			// gone and makes another. A draft with files is not removed by this.
			_ = os.Remove(dir)
			continue
		}
		if err != nil {
			continue
		}
		if !undo(parent, dir, opt) || !discard(dir, lock) {
			_ = lock.Close()
		}
	}
}

// changed returns when a draft was last changed.
func changed(dir string) time.Time {
	last := time.Time{}
	for _, pattern := range []string{"", "*"} {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, p := range paths {
			if info, err := os.Lstat(p); err == nil && info.ModTime().After(last) {
				last = info.ModTime()
			}
		}
	}
	return last
}

// undo removes what a dead process put, or left, beside its draft: its new files
// where the main one did not follow, else the stale ones. It reports whether the
// draft itself is of no more use.
func undo(parent, dir string, opt Options) bool {
	text, err := os.ReadFile(filepath.Join(dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	var f Files
	if err != nil || json.Unmarshal(text, &f) != nil || opt.Unread == nil {
		return false
	}
	names := f.Stale
	if _, err := os.Lstat(filepath.Join(dir, f.Main)); err == nil {
		names = nil
		for _, name := range f.Beside {
			if moved(filepath.Join(dir, name), filepath.Join(parent, name)) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		path := filepath.Join(parent, name)
		if filepath.Base(name) != name {
			continue
		}
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && opt.Unread(path) {
			_ = os.Remove(path)
		}
	}
	return true
}

// moved reports whether to is the file that was, or still is, at from.
func moved(from, to string) bool {
	a, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	b, errTo := os.Lstat(to)
	return err == nil && errTo == nil && os.SameFile(a, b)
}

// machineName is eight digits for the running kernel: locks are seen by all its
// processes, those in containers included. On Linux it is made from the number
// of the boot, elsewhere from the name of the host.
func machineName() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		host, _ := os.Hostname()
		id = []byte(host)
	}
	sum := sha256.Sum256(id)
	return hex.EncodeToString(sum[:4])
}
