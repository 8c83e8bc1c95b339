package dataset

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/relupath/relupath/internal/words"
)

// cifar describes the binary records of Krizhevsky, Learning multiple layers of
// features from tiny images (2009): label bytes, then 3072 pixel bytes, red,
// green and blue planes of 32 by 32, row-major.
type cifar struct {
	name string
	// labels are the numbers of classes of the label bytes; the last counts.
	labels []int
}

var (
	cifar10  = cifar{"cifar10", []int{10}}
	cifar100 = cifar{"cifar100", []int{20, 100}}
)

// cifarPixels is the number of values of an image.
const cifarPixels = 3 * 32 * 32

// record is the number of bytes of an example.
func (c cifar) record() int { return len(c.labels) + cifarPixels }

// load reads every file of a split, in the order of their names, or the first examples.
func (c cifar) load(ctx context.Context, s Spec, split Split) (*table, error) {
	dir, limit := s.Paths[0], s.Limit
	files, err := c.find(dir, split)
	if err != nil {
		return nil, err
	}
	t := &table{
		file: dir, shape: []int{3, 32, 32}, layout: LayoutCHW, pixels: true,
		classes: c.labels[len(c.labels)-1],
	}
	var total, disk int64
	sources := make([]*source, len(files))
	for i, path := range files {
		f, info, err := openFile(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		n, err := c.records(path, info.Size())
		if err != nil {
			return nil, err
		}
		// A first record may begin like a gzip file, which newSource would unpack.
		sources[i] = plainSource(ctx, path, f, info.Size())
		total += n
		disk += onDisk(info)
	}
	if limit > 0 {
		total = min(total, int64(limit))
	}
	if err := room(dir, "all images together", total*cifarPixels, disk, disk < total*cifarPixels/2); err != nil {
		return nil, err
	}
	t.x.u8 = make([]uint8, total*cifarPixels)
	t.labels = make([]int, 0, total)
	for _, s := range sources {
		for i := 0; s.left > 0 && len(t.labels) < int(total); i++ {
			if err := c.read(s, i, t); err != nil {
				return nil, err
			}
		}
	}
	t.n = len(t.labels)
	return t, nil
}

// find lists the files of a split.
func (c cifar) find(dir string, split Split) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, wrong(dir, "", "cannot be listed", "give the folder of the "+c.name+" .bin files").because(unwrapPath(err))
	}
	prefixes := []string{"train", "data_batch"}
	if split == Test {
		prefixes = []string{"test"}
	}
	var files []string
	for _, prefix := range prefixes {
		before := len(files)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), ".bin") {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
		if before > 0 && len(files) > before {
			return nil, wrong(dir, "", "the folder holds both train*.bin and data_batch*.bin", "examples would count twice: keep one kind")
		}
	}
	if len(files) == 0 {
		return nil, wrong(dir, "", "the folder holds no "+strings.Join(prefixes, "*.bin or ")+"*.bin", "unpack the binary version of the data there").because(os.ErrNotExist)
	}
	return files, nil
}

// records is how many a file of so many bytes has. Error: it is not whole records.
func (c cifar) records(path string, size int64) (int64, error) {
	n, over := size/int64(c.record()), size%int64(c.record())
	if over == 0 && n > 0 {
		return n, nil
	}
	remedy := "the file is truncated or has something appended: fetch it again"
	for _, other := range []cifar{cifar10, cifar100} {
		if n > 0 && size%int64(other.record()) == 0 {
			remedy = "its size is that of " + other.name
		}
	}
	return 0, wrong(path, "", fmt.Sprintf("%s are %s of %s and %s over", words.Count(size, "byte"), words.Count(n, "record"), words.Count(c.record(), "byte"), words.Count(over, "byte")),
		remedy)
}

// read takes record i of a file. Its size has been checked, so an early end means that it has
// changed meanwhile.
func (c cifar) read(s *source, i int, t *table) error {
	pixels := t.x.u8[len(t.labels)*cifarPixels:][:cifarPixels]
	for k, classes := range c.labels {
		label, err := s.r.ReadByte()
		if err != nil {
			return s.damaged(err)
		}
		if int(label) >= classes {
			return labelRange(s.name, record(i), fmt.Sprint(label), classes, "the file is damaged or not of "+c.name)
		}
		if k == len(c.labels)-1 {
			t.labels = append(t.labels, int(label))
		}
	}
	if _, err := io.ReadFull(s.r, pixels); err != nil {
		return s.damaged(err)
	}
	s.left -= int64(c.record())
	return nil
}
