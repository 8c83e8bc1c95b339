package dataset

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// idxKinds are the type codes of an IDX file, third byte of its magic number.
var idxKinds = map[byte]*kind{
	0x08: kindU8, 0x09: kindI8, 0x0B: kindI16, 0x0C: kindI32, 0x0D: kindF32, 0x0E: kindF64,
}

// readIDX reads one IDX file: 0 0 type dimensions, each dimension as a
// big-endian uint32, then the elements, big-endian and row-major.
func readIDX(s *source) (*array, error) {
	head, err := s.read(4, "the magic number")
	if err != nil {
		return nil, err
	}
	a := &array{file: s.name, kind: idxKinds[head[2]], order: binary.BigEndian}
	if head[0] != 0 || head[1] != 0 || a.kind == nil || head[3] == 0 {
		return nil, wrong(s.name, "", fmt.Sprintf("the magic number is % x, want 00 00, a type code and a number of dimensions", head), "this is not an IDX file")
	}
	dims, err := s.read(4*int64(head[3]), "the dimensions")
	if err != nil {
		return nil, err
	}
	for ; len(dims) > 0; dims = dims[4:] {
		a.shape = append(a.shape, int(binary.BigEndian.Uint32(dims)))
	}
	return a, a.load(s, false, fmt.Sprintf("the array of shape %v", a.shape))
}

// loadIDX reads the files of examples and labels.
func loadIDX(ctx context.Context, s Spec, _ Split) (*table, error) {
	return readPair(ctx, s.Paths[0], s.Paths[1], 0, s.Limit)
}

// readPair reads the files of examples and labels. Labels are below classes, or
// as they come where classes is 0. All labels are read: they say which classes there
// are.
func readPair(ctx context.Context, images, labels string, classes, limit int) (*table, error) {
	const order = "give the file of images first, that of labels second"
	x, err := fromFile(ctx, images, limit, false, readIDX)
	if err != nil {
		return nil, err
	}
	if len(x.shape) < 2 {
		return nil, wrong(images, "", fmt.Sprintf("shape %v, want (examples, height, width)", x.shape), order)
	}
	y, err := fromFile(ctx, labels, limit, true, readIDX)
	if err != nil {
		return nil, err
	}
	if len(y.shape) != 1 {
		return nil, wrong(labels, "", fmt.Sprintf("shape %v, want (examples)", y.shape), order)
	}
	t, err := x.examples()
	if err != nil {
		return nil, err
	}
	if len(t.shape) == 2 {
		t.shape = append([]int{1}, t.shape...)
		t.layout = LayoutCHW
	}
	return t, t.labelled(y, Classification, classes)
}

// loadMNIST finds the official files in a folder. The data sets that took over
// the names (Fashion-MNIST, Kuzushiji-MNIST) have ten classes as well.
func loadMNIST(ctx context.Context, s Spec, split Split) (*table, error) {
	files, err := findMNIST(s.Paths[0], split)
	if err != nil {
		return nil, err
	}
	return readPair(ctx, files[0], files[1], 10, s.Limit)
}

// findMNIST returns the files of images and of labels of a split.
func findMNIST(dir string, split Split) ([]string, error) {
	prefix := "train"
	if split == Test {
		prefix = "t10k"
	}
	images, err := findIDX(dir, prefix+"-images", "idx3-ubyte")
	if err != nil {
		return nil, err
	}
	labels, err := findIDX(dir, prefix+"-labels", "idx1-ubyte")
	return []string{images, labels}, err
}

// findIDX returns the first file that exists of the names in use.
func findIDX(dir, stem, suffix string) (string, error) {
	var tried []string
	for _, sep := range []string{"-", "."} {
		for _, ext := range []string{"", ".gz"} {
			name := stem + sep + suffix + ext
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
				return filepath.Join(dir, name), nil
			}
			tried = append(tried, name)
		}
	}
	return "", wrong(dir, "", "the folder holds none of "+strings.Join(tried, ", "),
		"give the folder of the MNIST files, or name the files in idx:IMAGES,LABELS").because(os.ErrNotExist)
}
