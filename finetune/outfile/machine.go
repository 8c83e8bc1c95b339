package outfile

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
)

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
