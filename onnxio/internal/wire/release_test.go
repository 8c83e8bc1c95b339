package wire

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// Views of tensors read the same after Release, which gives up the memory to
// which the file and its external data are mapped.
func TestRelease(t *testing.T) {
	const n = releasePiece/4*2 + 1000 // several pieces, the last one not whole
	want := make([]float32, n)
	for i := range want {
		want[i] = float32(i)
	}
	inside := bytesField(5, tensorOf(Float32, []int64{n}, stringField(8, "inside"), bytesField(9, le(want))))
	f, _ := saved(t, map[string][]byte{"m.onnx": modelOf(inside, outside("outside", "d.bin", n)), "d.bin": le(want)})
	var views [][]float32
	for i := range f.Graph.Initializers {
		v, _, err := f.Graph.Initializers[i].Float32s()
		check(t, err)
		if !slices.Equal(v, want) {
			t.Fatalf("%s was read wrong", f.Graph.Initializers[i].Name)
		}
		views = append(views, v)
	}
	for range 2 {
		f.Release()
		f.releasing.Wait()
		for _, m := range [][]byte{f.mapped, f.external["d.bin"].mapped} {
			if kb, ok := resident(m); ok && kb != 0 {
				t.Errorf("%d kB are resident after Release", kb)
			}
		}
		for i, v := range views {
			if !slices.Equal(v, want) {
				t.Fatalf("%s reads otherwise after Release", f.Graph.Initializers[i].Name)
			}
		}
	}
	f.Release() // Close waits for it
	check(t, f.Close())

	parsed := mustParse(t, modelOf(inside))
	parsed.Release()
	v, _, err := parsed.Graph.Initializers[0].Float32s()
	check(t, err)
	if !slices.Equal(v, want) {
		t.Error("bytes that are not mapped read otherwise after Release")
	}
}

// resident returns how much of a mapping is in memory, where the system tells.
func resident(m []byte) (kb int, ok bool) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	start := fmt.Sprintf("%x-", uintptr(unsafe.Pointer(unsafe.SliceData(m))))
	found := false
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), start) {
			found = true
		}
		if rest, is := strings.CutPrefix(s.Text(), "Rss:"); is && found {
			_, err := fmt.Sscan(rest, &kb)
			return kb, err == nil
		}
	}
	return 0, false
}
