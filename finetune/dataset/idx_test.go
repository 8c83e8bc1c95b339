package dataset

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestIDX(t *testing.T) {
	images, labels := idx(8, []int{3, 2, 2}, ramp(12)...), idx(8, []int{3}, 2, 0, 5)
	for _, test := range []struct {
		name           string
		images, labels string
		spec           func(dir string) string
		opt            Options
		pack           bool
	}{
		{name: "plain", images: "train-images-idx3-ubyte", labels: "train-labels-idx1-ubyte"},
		{name: "gzip", images: "train-images-idx3-ubyte.gz", labels: "train-labels-idx1-ubyte.gz", pack: true},
		{name: "dots", images: "t10k-images.idx3-ubyte", labels: "t10k-labels.idx1-ubyte", opt: Options{DefaultSplit: Test}},
		{
			name: "pair", images: "a,b", labels: "c",
			spec: func(dir string) string { return "idx:" + filepath.Join(dir, "a,,b") + "," + filepath.Join(dir, "c") },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			x, y := images, labels
			if test.pack {
				x, y = pack(x), pack(y)
			}
			write(t, dir, test.images, x)
			write(t, dir, test.labels, y)
			spec, classes := "mnist:"+dir, 10
			if test.spec != nil {
				spec, classes = test.spec(dir), 6
			}
			s := mustLoad(t, spec+",scale=1", test.opt)
			diff(t, "shape", []int{1, 2, 2}, s.Shape())
			diff(t, "labels", []int{2, 0, 5}, s.Labels())
			diff(t, "classes", classes, s.Classes())
			diff(t, "values", []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, values(s))
		})
	}
}

func TestIDXTypes(t *testing.T) {
	for code, test := range map[byte]struct {
		data []byte
		want []float64
	}{
		0x09: {[]byte{0xff, 2}, []float64{-1, 2}},
		0x0B: {[]byte{0xff, 0xfe, 1, 0}, []float64{-2, 256}},
		0x0C: {[]byte{0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0}, []float64{-1, 65536}},
		0x0D: {[]byte{0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0}, []float64{1, -2.5}},
		0x0E: {[]byte{0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 4, 0, 0, 0, 0, 0, 0}, []float64{1, -2.5}},
	} {
		dir := t.TempDir()
		x := write(t, dir, "x", idx(code, []int{2, 1}, test.data...))
		y := write(t, dir, "y", idx(8, []int{2}, 0, 1))
		diff(t, "values", test.want, values(mustLoad(t, "idx:"+x+","+y, Options{})))
	}
}

func TestIDXErrors(t *testing.T) {
	images, labels := idx(8, []int{3, 2, 2}, ramp(12)...), idx(8, []int{3}, 2, 0, 9)
	damaged := pack(images)
	damaged[len(damaged)-6] ^= 1 // the checksum
	for _, test := range []struct {
		name           string
		images, labels []byte
		want           []string
	}{
		{"empty", nil, labels, []string{"train-images", "magic number", "truncated"}},
		{"magic", []byte("PK\x03\x04...."), labels, []string{"50 4b 03 04", "not an IDX file"}},
		{"type", idx(7, []int{1, 1}, 0), labels, []string{"not an IDX file"}},
		{"truncated dimensions", idx(8, []int{3, 2, 2})[:10], labels, []string{"the dimensions", "truncated"}},
		{"truncated", images[:20], labels, []string{"[3 2 2] should take 12 bytes", "at most 4 are left", "truncated"}},
		{"truncated gzip", pack(images[:20]), labels, []string{"should take 12 bytes", "ends after 4", "truncated"}},
		{"cut gzip", pack(images)[:30], labels, []string{"truncated"}},
		{"gzip checksum", damaged, labels, []string{"gzip: invalid checksum", "fetch it again"}},
		{"trailing", append(idx(8, []int{3, 2, 2}, ramp(12)...), 0), labels, []string{"bytes follow", "[3 2 2]"}},
		{"trailing gzip", pack(append(idx(8, []int{3, 2, 2}, ramp(12)...), 0)), labels, []string{"bytes follow"}},
		{"huge", idx(8, []int{1 << 30, 1 << 10, 1 << 10}), labels, []string{"should take", "truncated"}},
		{"huge gzip", pack(idx(8, []int{1 << 30, 28, 28})), labels, []string{"should take 841813590016 bytes", "truncated"}},
		{"impossible", idx(8, []int{1 << 30, 1 << 30, 1 << 30}), labels, []string{"is not possible"}},
		{"no values", idx(8, []int{3, 0, 2}), labels, []string{"[3 0 2] holds no values"}},
		{"no examples", idx(8, []int{0, 2, 2}), idx(8, []int{0}), []string{"[0 2 2] holds no values"}},
		{"swapped", labels, images, []string{"train-images", "shape [3]", "first"}},
		{"labels two-dimensional", images, idx(8, []int{3, 1}, 1, 2, 3), []string{"train-labels", "shape [3 1]"}},
		{"label count", images, idx(8, []int{2}, 1, 2), []string{"train-labels", "2 labels for the 3 examples", "same split"}},
		{"label range", images, idx(8, []int{3}, 1, 10, 2), []string{"train-labels", "record 1", "label 10", "0..9"}},
		{"negative label", images, idx(9, []int{3}, 1, 2, 255), []string{"record 2", "label -1"}},
		{"fractional label", images, idx(0x0D, []int{3}, 0, 0, 0, 0, 0x3f, 0, 0, 0, 0, 0, 0, 0), []string{"record 1", "label 0.5"}},
		{"NaN", idx(0x0D, []int{3, 1}, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xc0, 0, 0), labels, []string{"record 2, column 0", "NaN"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "train-images-idx3-ubyte", test.images)
			write(t, dir, "train-labels-idx1-ubyte", test.labels)
			_, err := load("mnist:"+dir, Options{})
			wantDataError(t, err, test.want...)
		})
	}
}

func TestMissingFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := load("mnist:"+dir, Options{})
	wantDataError(t, err, dir, "train-images-idx3-ubyte, train-images-idx3-ubyte.gz, train-images.idx3-ubyte", "idx:IMAGES,LABELS")
	_, err = load("mnist:"+dir+",split=test", Options{})
	wantDataError(t, err, "t10k-images-idx3-ubyte")
	_, err = load("csv:"+dir, Options{})
	wantDataError(t, err, dir, "not a regular file")
	_, err = load("svhn:"+filepath.Join(dir, "x.mat"), Options{})
	wantDataError(t, err, "x.mat", "no such file")
	_, err = load("cifar10:"+filepath.Join(dir, "x"), Options{})
	wantDataError(t, err, "cannot be listed", "give the folder")
	_, err = load("cifar100:"+dir, Options{})
	wantDataError(t, err, "no train*.bin or data_batch*.bin")
}

func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "x.csv", []byte("1,0\n"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Load(ctx, Spec{Format: "csv", Paths: []string{path}}, Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
