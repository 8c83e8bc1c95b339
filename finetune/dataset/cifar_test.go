package dataset

import (
	"bytes"
	"testing"
)

// cifarRecord is an image of one colour a plane, behind its label bytes.
func cifarRecord(red byte, labels ...byte) []byte {
	b := bytes.Clone(labels)
	for plane := range byte(3) {
		b = append(b, bytes.Repeat([]byte{red + plane}, 1024)...)
	}
	return b
}

func TestCIFAR(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "data_batch_2.bin", cifarRecord(30, 9))
	write(t, dir, "data_batch_1.bin", append(cifarRecord(10, 3), cifarRecord(20, 4)...))
	write(t, dir, "test_batch.bin", cifarRecord(40, 0))
	write(t, dir, "batches.meta.txt", []byte("airplane\n"))
	s := mustLoad(t, "cifar10:"+dir+",scale=1", Options{})
	diff(t, "labels", []int{3, 4, 9}, s.Labels())
	diff(t, "shape", []int{3, 32, 32}, s.Shape())
	diff(t, "classes", 10, s.Classes())
	x := values(s)
	diff(t, "planes", []float64{10, 11, 11, 12, 20, 30}, []float64{x[0], x[1024], x[2047], x[3071], x[3072], x[6144]})
	diff(t, "name", "cifar10 train", s.Name())

	s = mustLoad(t, "cifar10:"+dir, Options{DefaultSplit: Test})
	diff(t, "test labels", []int{0}, s.Labels())
	if got, want := values(s)[0], 40*(1./255); got != want {
		t.Errorf("value %v, want %v", got, want)
	}
}

func TestCIFAR100(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "train.bin", append(cifarRecord(10, 19, 99), cifarRecord(20, 0, 1)...))
	s := mustLoad(t, "cifar100:"+dir+",scale=1,mean=1/2/3,std=2,transpose,limit=1", Options{})
	diff(t, "fine labels", []int{99}, s.Labels())
	diff(t, "bytes kept", 3072, len(s.x.u8))
	diff(t, "shape", []int{32, 32, 3}, s.Shape())
	diff(t, "first pixel", []float64{4.5, 4.5, 4.5, 4.5}, values(s)[:4])
}

// The case gzip: a damaged record may begin like a gzip stream, but is not
// unpacked.
func TestCIFARErrors(t *testing.T) {
	one := cifarRecord(1, 1)
	for _, test := range []struct {
		name, format string
		files        map[string][]byte
		want         []string
	}{
		{"truncated", "cifar10", map[string][]byte{"train.bin": one[:3000]}, []string{"train.bin", "3000 bytes are 0 records", "truncated"}},
		{"trailing", "cifar10", map[string][]byte{"train.bin": append(cifarRecord(1, 1), 0, 0)}, []string{"1 record of 3073 bytes and 2 bytes over"}},
		{"other", "cifar10", map[string][]byte{"train.bin": cifarRecord(1, 1, 1)}, []string{"its size is that of cifar100"}},
		{"empty", "cifar10", map[string][]byte{"train.bin": nil}, []string{"0 bytes"}},
		{"label", "cifar10", map[string][]byte{"train_1.bin": one, "train_2.bin": append(cifarRecord(1, 1), cifarRecord(1, 10)...)}, []string{"train_2.bin", "record 1", "label 10", "0..9"}},
		{"coarse", "cifar100", map[string][]byte{"train.bin": cifarRecord(1, 20, 1)}, []string{"record 0", "label 20", "0..19"}},
		{"fine", "cifar100", map[string][]byte{"train.bin": cifarRecord(1, 1, 100)}, []string{"record 0", "label 100", "0..99"}},
		{"gzip", "cifar100", map[string][]byte{"train.bin": cifarRecord(1, 0x1f, 0x8b)}, []string{"record 0", "label 31"}},
		{"both", "cifar10", map[string][]byte{"train.bin": one, "data_batch_1.bin": one}, []string{"both train*.bin and data_batch*.bin", "keep one kind"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range test.files {
				write(t, dir, name, data)
			}
			_, err := load(test.format+":"+dir, Options{})
			wantDataError(t, err, test.want...)
		})
	}
}
