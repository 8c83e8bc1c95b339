package dataset

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"github.com/relupath/relupath/internal/words"
)

// shareOfMemory is what the numbers of a packed or sparse file, or of a csv file, may
// take: a quarter of the memory, since they may be there a second time while they are
// converted.
const shareOfMemory = 4

// unknownMemory is taken where the system does not tell.
const unknownMemory = 8 << 30

// memoryShare is how many bytes one array, or the kept part of a csv file, may
// take. Tests set it.
var memoryShare = sync.OnceValue(func() int64 { return Memory() / shareOfMemory })

// Memory is the bytes of memory that this process may take: those of the machine, or
// of the control group, the limit on addresses or GOMEMLIMIT where they are less.
func Memory() int64 {
	least := int64(unknownMemory)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "MemTotal:"); ok {
			var kb int64
			if _, err := fmt.Sscan(rest, &kb); err == nil {
				least = kb << 10
			}
		}
	}
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if v, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
			least = min(least, v)
		}
	}
	if v := debug.SetMemoryLimit(-1); v < math.MaxInt64 {
		least = min(least, v)
	}
	return min(least, addresses())
}

// room says whether memory has room for n bytes of a file of so many bytes on the disk.
func room(file, what string, n, onDisk int64, packed bool) error {
	const remedy = "take the first N examples with limit=N, or split the file"
	share := memoryShare()
	switch {
	case packed && n > max(share, onDisk):
		return tooMuch(file, fmt.Sprintf("%s unpacks to %s", what, words.Count(n, "byte")), share, remedy)
	case n > shareOfMemory*share:
		return &DataError{
			File:    file,
			Problem: fmt.Sprintf("%s takes %s, more than the memory (%d MiB)", what, words.Count(n, "byte"), shareOfMemory*share>>20),
			Remedy:  remedy,
		}
	}
	return nil
}

// tooMuch is the error for data that memory has no room for.
func tooMuch(file, what string, share int64, remedy string) error {
	return &DataError{
		File:    file,
		Problem: fmt.Sprintf("%s, more than a quarter of the memory (%d MiB)", what, share>>20),
		Remedy:  remedy,
	}
}
