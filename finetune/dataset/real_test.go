package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// shared is the folder of the data sets, or the test is skipped.
func shared(t *testing.T) string {
	t.Helper()
	root, set := os.LookupEnv("RELUPATH_SHARED")
	if !set {
		root = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(root, "datasets")
	if _, err := os.Stat(dir); err != nil {
		if set {
			t.Fatalf("RELUPATH_SHARED is set: %v", err)
		}
		t.Skip("no shared data sets")
	}
	return dir
}

// Counts, labels and SHA-256 were computed by NumPy from the bytes of the
// files, without this package (testdata/real.py). The hash is over the values,
// as bytes for the pixel formats and as little-endian float64 for csv.
func TestRealData(t *testing.T) {
	dir := shared(t)
	for _, test := range []struct {
		format, path, options string
		opt                   Options
		n, size, classes      int
		first                 []int
		sum                   int // of the labels
		hash                  string
	}{
		{"mnist", "mnist", "", Options{}, 60000, 784, 10, []int{5, 0, 4, 1, 9}, 267236, "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"},
		{"mnist", "mnist", "", Options{DefaultSplit: Test}, 10000, 784, 10, []int{7, 2, 1, 0, 4}, 44434, "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"},
		{"cifar10", "cifar10", "", Options{}, 10000, 3072, 10, []int{2, 3, 9, 5, 8}, 45170, "f23e34d9c2ea5728907594eebeb24d3ebcc0b10e4b6fb04215a15f3c9530f389"},
		{"cifar10", "cifar10", ",split=test", Options{}, 2000, 3072, 10, []int{9, 0, 2, 5, 2}, 9140, "0fcb4dcb366ae38ed824a98916a7669973b53ab470e9d9b6219d9122d5d619b8"},
		{"cifar10", "cifar10", ",split=test,transpose", Options{}, 2000, 3072, 10, []int{9, 0, 2, 5, 2}, 9140, "15b499f5d5e0834a0315303cac5f5f453bd270cf2ad02b1163fdf9ac6d5d632e"},
		{"cifar100", "cifar100", "", Options{}, 5000, 3072, 100, []int{23, 39, 91, 51, 85}, 250423, "df081bf2d5a1d737d20550d5fcbb6309a8ef718c195d7e3a1ffb51c63518f4bd"},
		{"cifar100", "cifar100", ",split=test", Options{DefaultSplit: Train}, 1000, 3072, 100, []int{93, 8, 23, 59, 23}, 50246, "bed1d4671d10c7da4ff82d790c152dd2ed4820df3d074b1bddc558521a34384f"},
		{"csv", "usps/zip.train.csv.gz", ",header,label=0", Options{}, 7291, 256, 10, []int{6, 5, 4, 7, 3}, 28460, "70a13b28fa4e9bb23308c5167b0fb55f7beefff89ccc757b125b5d035167b4f7"},
		{"csv", "usps/zip.test.csv.gz", ",header,label=V1", Options{}, 2007, 256, 10, []int{9, 6, 3, 6, 6}, 7728, "dfa2d3e18a19c374e7a397a8b14d2f7a67508f644aa8d36255a7a10277f9865b"},
		{"csv", "tabular/iris.csv", ",header", Options{}, 150, 4, 3, []int{0, 0, 0, 0, 0}, 150, "012f498fe9c8b3b34212c3c5d98e1f03f2f79931cd49349beb1bad64dcf164a7"},
		{"csv", "tabular/breast_cancer.csv", ",header", Options{}, 569, 30, 2, []int{0, 0, 0, 0, 0}, 357, "6b202a2072f9a0385f405a8f8605b1b06f6f36ae6d23d9cd6cbbc0974a416bc7"},
		{"csv", "tabular/LetterRecognition.csv.gz", ",header,label=lettr", Options{}, 20000, 16, 26, []int{19, 8, 3, 13, 6}, 250335, "692f7bb7abde2df4d93a3251c561b91d3e6a76a1110ac657679550e1d35921d0"},
		{"csv", "tabular/Satellite.csv.gz", ",header", Options{}, 6435, 36, 6, []int{2, 2, 2, 2, 2}, 18309, "fdfe32c9c54d060530a3893ac4374e62154adc580474fe9aad9ffdb5aa9cc889"},
		{"csv", "tabular/digits.csv.gz", "", Options{}, 1797, 64, 10, []int{0, 1, 2, 3, 4}, 8070, "20def7f70a702f0af9732fbba4375e147a7d54fe70d8c45569b8e7c1c7010c10"},
	} {
		t.Run(test.path+test.options, func(t *testing.T) {
			s := mustLoad(t, test.format+":"+filepath.Join(dir, test.path)+test.options+",scale=1", test.opt)
			diff(t, "examples, values, classes", []int{test.n, test.size, test.classes}, []int{s.Len(), s.Size(), s.Classes()})
			diff(t, "first labels", test.first, s.Labels()[:5])
			sum := 0
			for _, label := range s.Labels() {
				sum += label
			}
			diff(t, "sum of labels", test.sum, sum)
			h := sha256.New()
			row := make([]float64, s.Size())
			var b []byte
			for i := range s.Len() {
				s.Batch64(row, []int{i})
				b = b[:0]
				for _, v := range row {
					if test.format == "csv" {
						b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
					} else {
						b = append(b, byte(v))
					}
				}
				h.Write(b)
			}
			diff(t, "hash of the values", test.hash, hex.EncodeToString(h.Sum(nil)))
		})
	}
}
