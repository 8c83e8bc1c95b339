package dataset

import (
	"fmt"
	"slices"

	"github.com/relupath/relupath/internal/words"
)

// readSVHN reads the cropped digits of Netzer et al., Reading digits in natural
// images with unsupervised feature learning (2011): X of shape (32, 32, 3, N),
// uint8, and y of shape (N, 1) with 1..10, where 10 stands for the digit 0.
func readSVHN(s *source) (*table, error) {
	found, err := readMAT(s, "X", "y")
	if err != nil {
		return nil, err
	}
	x, y := found["X"], found["y"]
	if x == nil || y == nil {
		return nil, wrong(s.name, "", "the file does not hold both variables X and y", "give a file of the cropped digits, such as train_32x32.mat")
	}
	if len(x.shape) == 3 {
		x.shape, x.all = append(x.shape, 1), 1 // MATLAB drops a last dimension of 1
	}
	if len(x.shape) != 4 || !slices.Equal(x.shape[:3], []int{32, 32, 3}) || x.kind != kindU8 || x.shape[3] == 0 {
		return nil, wrong(x.file, "", fmt.Sprintf("shape %v, want (32, 32, 3, N) of uint8", x.shape), "give a file of the cropped digits, such as train_32x32.mat")
	}
	// Column-major (32, 32, 3, N) is row-major (N, channel, column, row).
	t := &table{
		file: s.name, n: x.shape[3], all: x.all, shape: []int{3, 32, 32}, pixels: true,
		x: features{u8: x.data}, layout: LayoutCHW,
	}
	t.permute([3]int{0, 2, 1})
	if len(y.shape) != 2 || y.len() != t.all || y.shape[0] != t.all && y.shape[1] != t.all {
		return nil, wrong(y.file, "", fmt.Sprintf("shape %v for %s, want (%d, 1)", y.shape, words.Count(t.all, "image"), t.all), "the file is damaged: fetch it again")
	}
	t.classes = 10
	get := y.at()
	t.labels = make([]int, t.n)
	for i := range t.labels {
		v := get(i)
		if v != float64(int(v)) || v < 1 || v > 10 {
			return nil, wrong(y.file, record(i), fmt.Sprintf("label %v is out of range, want 1..10, where 10 is the digit 0", v),
				"give a file of the cropped digits, such as train_32x32.mat")
		}
		t.labels[i] = int(v) % 10
	}
	return t, nil
}
