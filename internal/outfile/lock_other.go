//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package outfile

import (
	"errors"
	"os"
)

// removeOpen says that open files can be removed.
const removeOpen = true

func tryLock(*os.File) error { return errors.ErrUnsupported }

func syncFolder(string) {}
