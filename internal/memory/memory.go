// Package memory says how much memory there is.
package memory

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// unknown is taken where the system does not tell.
const unknown = 8 << 30

// asked is GOMEMLIMIT, before the program sets a pace for its own collections.
var asked = debug.SetMemoryLimit(-1)

// Limit is the bytes of memory that this process may take: those of the machine, or
// of the control group, the limit on addresses or GOMEMLIMIT where they are less.
func Limit() int64 {
	least := int64(unknown)
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
	return min(least, asked, addresses())
}
