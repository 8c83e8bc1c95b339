package dataset

import (
	"context"
	"errors"
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
	for _, path := range files {
		n, there, err := c.size(path)
		if err != nil {
			return nil, err
		}
		total += n
		disk += there
	}
	if limit > 0 {
		total = min(total, int64(limit))
	}
	if err := room(dir, "all images together", total*cifarPixels, disk, disk < total*cifarPixels/2); err != nil {
		return nil, err
	}
	t.x.u8 = make([]uint8, 0, total*cifarPixels)
	t.labels = make([]int, 0, total)
	for _, path := range files {
		if err := c.read(ctx, path, t, int(total)); err != nil {
			return nil, err
		}
	}
	t.n = len(t.labels)
	return t, nil
}

// find lists the files of a split.
func (c cifar) find(dir string, split Split) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, &DataError{
			File: dir, Problem: "cannot be listed", Err: unwrapPath(err),
			Remedy: "give the folder of the " + c.name + " .bin files",
		}
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
		return nil, &DataError{
			File: dir, Problem: "the folder holds no " + strings.Join(prefixes, "*.bin or ") + "*.bin",
			Remedy: "unpack the binary version of the data there", Err: os.ErrNotExist,
		}
	}
	return files, nil
}

// size checks that a file is whole records and returns how many, and the bytes that it
// takes on the disk.
func (c cifar) size(path string) (records, disk int64, err error) {
	f, info, err := openFile(path)
	if err != nil {
		return 0, 0, err
	}
	size := info.Size()
	n, over := size/int64(c.record()), size%int64(c.record())
	if err := f.Close(); err != nil {
		return 0, 0, err
	}
	if over == 0 && n > 0 {
		return n, onDisk(info), nil
	}
	remedy := "the file is truncated or has something appended: fetch it again"
	for _, other := range []cifar{cifar10, cifar100} {
		if n > 0 && size%int64(other.record()) == 0 {
			remedy = "its size is that of " + other.name
		}
	}
	return 0, 0, wrong(path, "", fmt.Sprintf("%s are %s of %s and %s over", words.Count(size, "byte"), words.Count(n, "record"), words.Count(c.record(), "byte"), words.Count(over, "byte")),
		remedy)
}

// read appends the records of a file, until there are so many. The file's size has been checked, so an
// early end means that it has changed meanwhile.
func (c cifar) read(ctx context.Context, path string, t *table, total int) error {
	f, info, err := openFile(path)
	if err != nil {
		return err
	}
	// A first record may begin like a gzip file, which newSource would unpack.
	defer f.Close()
	s := plainSource(ctx, path, f, info.Size())
	for i := 0; s.left > 0 && len(t.labels) < total; i++ {
		if err := c.readRecord(s, i, t); err != nil {
			return err
		}
	}
	return nil
}

func (c cifar) readRecord(s *source, i int, t *table) error {
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
	n := len(t.x.u8)
	if n+cifarPixels > cap(t.x.u8) {
		return s.damaged(errors.New("the file has grown while it was read"))
	}
	t.x.u8 = t.x.u8[:n+cifarPixels]
	if _, err := io.ReadFull(s.r, t.x.u8[n:]); err != nil {
		return s.damaged(err)
	}
	s.left -= int64(c.record())
	return nil
}
