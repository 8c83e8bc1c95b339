package dataset

import (
	"fmt"
	"sync"

	"github.com/relupath/relupath/internal/memory"
	"github.com/relupath/relupath/internal/words"
)

// shareOfMemory is what the numbers of a packed or sparse file, or of a csv file, may
// take: a quarter of the memory, since they may be there a second time while they are
// converted.
const shareOfMemory = 4

// memoryShare is how many bytes one array, or the kept part of a csv file, may
// take. Tests set it.
var memoryShare = sync.OnceValue(func() int64 { return memory.Limit() / shareOfMemory })

// room says whether memory has room for n bytes of a file of so many bytes on the disk.
func room(file, what string, n, onDisk int64, packed bool) error {
	const remedy = "take the first N examples with limit=N, or split the file"
	share := memoryShare()
	switch {
	case packed && n > max(share, onDisk):
		return tooMuch(file, fmt.Sprintf("%s unpacks to %s", what, words.Count(n, "byte")), share, remedy)
	case n > shareOfMemory*share:
		return wrong(file, "", fmt.Sprintf("%s takes %s, more than the memory (%d MiB)", what, words.Count(n, "byte"), shareOfMemory*share>>20), remedy)
	}
	return nil
}

// tooMuch is the error for data that memory has no room for.
func tooMuch(file, what string, share int64, remedy string) error {
	return wrong(file, "", fmt.Sprintf("%s, more than a quarter of the memory (%d MiB)", what, share>>20), remedy)
}
