package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("disk full"), 1},
		{errNotEquivalent, 1},
		{usagef("no"), 2},
		{fmt.Errorf("--p: %w", usagef("no")), 2},
		{invalidf("no"), 3},
		{&onnxio.UnsupportedError{}, 3},
		{fmt.Errorf("a: %w", &onnxio.InvalidError{Err: io.ErrUnexpectedEOF}), 3},
		{&exit{codeBroken, errors.New("no")}, 4},
		{fmt.Errorf("eval: %w", context.Canceled), 130},
		{&exit{codeBroken, context.Canceled}, 130},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

func TestMessages(t *testing.T) {
	if got := message(errNotEquivalent, "relupath equivalent"); got != "" {
		t.Errorf("the report has told everything, but: %q", got)
	}
	if got := message(usagef("no"), "relupath audit"); !strings.Contains(got, "relupath audit --help") {
		t.Errorf("no way to the help: %q", got)
	}
}

func TestParseOrders(t *testing.T) {
	got, err := parseOrders([]string{"1", "1.5", "inf"})
	if diff := cmp.Diff([]float64{1, 1.5, math.Inf(1)}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"0.5", "x", "", "NaN", "-inf", "+Inf"} {
		if _, err := parseOrder(bad); err == nil {
			t.Errorf("order %q gives no error", bad)
		}
	}
	pairs, err := parsePairs([]string{"1:inf", "2:2"})
	if diff := cmp.Diff([][2]float64{{1, math.Inf(1)}, {2, 2}}, pairs); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"1", "1:0", "1:2:3"} {
		if _, err := parsePairs([]string{bad}); err == nil {
			t.Errorf("pair %q gives no error", bad)
		}
	}
}

func TestParseShapes(t *testing.T) {
	got, err := parseShapes([]string{"x=1x784", "a=b=2"})
	if diff := cmp.Diff(map[string][]int{"x": {1, 784}, "a=b": {2}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"x", "=1", "x=", "x=1x", "x=0", "x=-1x2"} {
		if _, err := parseShapes([]string{bad}); err == nil {
			t.Errorf("shape %q gives no error", bad)
		}
	}
}

func TestBatchOf(t *testing.T) {
	for _, c := range []struct {
		shape, sample []int
		want          int
		ok            bool
	}{
		{[]int{5, 784}, []int{784}, 5, true},
		{[]int{784}, []int{784}, 1, true},
		{[]int{5, 28, 28}, []int{784}, 5, true},
		{[]int{28, 28}, []int{1, 28, 28}, 1, true},
		{[]int{0, 3}, []int{3}, 0, true},
		{[]int{7}, []int{1}, 7, true},
		{[]int{}, []int{1}, 1, true},
		{[]int{5, 783}, []int{784}, 0, false},
	} {
		got, ok := batchOf(c.shape, c.sample)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%v for samples %v: %d, %v", c.shape, c.sample, got, ok)
		}
	}
}

func TestShortNames(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{[]string{"a/b/c.onnx", "a/d.onnx"}, []string{"c", "d"}},
		{[]string{"./x.onnx", "y.onnx"}, []string{"x", "y"}},
		{[]string{"/m/x.onnx"}, []string{"x"}},
		{[]string{"/m/x.onnx", "/m2/x.onnx", "/m/y.onnx"}, []string{"m/x", "m2/x", "y"}},
		{[]string{"r/a/x.onnx", "s/a/x.onnx", "a/x.onnx"}, []string{"r/a/x", "s/a/x", "a/x"}},
		{[]string{"a/x.onnx", "a/x.onnx", "x"}, []string{"a/x", "a/x", "x"}},
		{nil, []string{}},
	} {
		if diff := cmp.Diff(c.want, shortNames(c.in)); diff != "" {
			t.Errorf("%v: %s", c.in, diff)
		}
	}
}

func TestExpandWalksFolders(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"b.onnx", "a/z.onnx", "a/c.ONNX", "a/readme.txt"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "b.onnx"), filepath.Join(dir, "link.onnx")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "a", "loop")); err != nil {
		t.Fatal(err)
	}
	// As in the cache of Hugging Face: what links lead to is elsewhere, or has another name.
	blob := filepath.Join(t.TempDir(), "0123")
	if err := os.WriteFile(blob, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"a/m.onnx": blob, "a/same.onnx": blob, "a/nowhere.onnx": "nothing", "a/self.onnx": "self.onnx", "a/folder.onnx": dir} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	named := filepath.Join(t.TempDir(), "named")
	if err := os.Symlink(filepath.Join(dir, "a"), named); err != nil {
		t.Fatal(err)
	}
	got, err := expand([]string{dir, "missing.onnx", "-", named})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		filepath.Join(dir, "a/c.ONNX"), filepath.Join(dir, "a/m.onnx"), filepath.Join(dir, "a/nowhere.onnx"), filepath.Join(dir, "a/self.onnx"),
		filepath.Join(dir, "a/z.onnx"), filepath.Join(dir, "b.onnx"), "missing.onnx", "-",
		filepath.Join(named, "c.ONNX"), filepath.Join(named, "m.onnx"), filepath.Join(named, "nowhere.onnx"), filepath.Join(named, "self.onnx"),
		filepath.Join(named, "z.onnx"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := expand([]string{t.TempDir()}); err == nil {
		t.Error("an empty folder gives no error")
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	a := &app{}
	path := filepath.Join(dir, "out.txt")
	write := func(s string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			io.WriteString(w, s)
			return err
		}
	}
	content := func() string {
		b, _ := os.ReadFile(path)
		return string(b)
	}
	if err := a.save(path, a.existing(), write("one", errors.New("cut"))); err == nil || content() != "" {
		t.Errorf("a failed save leaves %q, %v", content(), err)
	}
	if err := a.save(path, a.existing(), write("one", nil)); err != nil || content() != "one" {
		t.Fatalf("%q, %v", content(), err)
	}
	if err := a.save(path, a.existing(), write("two", nil)); err == nil || !strings.Contains(err.Error(), "--force") || content() != "one" {
		t.Errorf("overwritten without --force: %q, %v", content(), err)
	}
	a.force = true
	if err := a.save(path, a.existing(), write("two", errors.New("cut"))); err == nil || content() != "one" {
		t.Errorf("a failed save destroys the old file: %q, %v", content(), err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := a.save(link, a.existing(), write("three", nil)); err != nil || content() != "three" {
		t.Errorf("a link is not written through: %q, %v", content(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if err := a.save(os.DevNull, a.existing(), write("x", nil)); err != nil {
		t.Errorf("a device cannot be written to: %v", err)
	}
	if err := a.save(filepath.Join(dir, "no", "out"), a.existing(), write("x", nil)); err == nil || !strings.Contains(err.Error(), "there is no folder") {
		t.Errorf("a missing folder: %v", err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 2 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestInitNetwork(t *testing.T) {
	o := &initOptions{widths: []int{400, 300, 10}, dtype: "float32"}
	n, err := o.network(context.Background(), 7)
	if err != nil {
		t.Fatal(err)
	}
	ps := n.Params()
	if len(ps) != 4 || ps[0].Type != dag.Float32 || !cmp.Equal(ps[0].Shape, []int{300, 400}) {
		t.Fatalf("%v", n)
	}
	sum, square := 0.0, 0.0
	v := ps[0].Values()
	for _, x := range v {
		sum += x
		square += x * x
	}
	// The mean of 120000 draws has standard deviation 0.05/sqrt(120000), the
	// mean square 1/400 * sqrt(2/120000); six of each.
	if mean := sum / float64(len(v)); !(math.Abs(mean) <= 6*0.05/math.Sqrt(120000)) {
		t.Errorf("mean %v", mean)
	}
	if got := square / float64(len(v)) * 400; !(math.Abs(got-1) <= 6*math.Sqrt(2.0/120000)) {
		t.Errorf("mean square times fan-in %v, want 1", got)
	}
	for _, x := range ps[1].Values() {
		if x != 0 {
			t.Fatalf("bias %v, want 0", x)
		}
	}
	again, _ := o.network(context.Background(), 7)
	other, _ := o.network(context.Background(), 8)
	if !cmp.Equal(v, again.Params()[0].Values()) || cmp.Equal(v, other.Params()[0].Values()) {
		t.Error("the seed does not decide the weights")
	}
	o = &initOptions{widths: []int{3, 2}, dtype: "float64", noBias: true}
	if n, err = o.network(context.Background(), 1); err != nil || len(n.Params()) != 1 || n.Params()[0].Type != dag.Float64 {
		t.Errorf("%v, %v", n, err)
	}
}

// TestReason: a report that has a column for the file does not name it again.
func TestReason(t *testing.T) {
	_, gone := os.Open(filepath.Join(t.TempDir(), "gone.onnx"))
	for _, c := range []struct {
		err  error
		want string
	}{
		{gone, "no such file or directory"},
		{&onnxio.InvalidError{Path: "dir/m.onnx", Err: errors.New("wire: the file is empty")}, "invalid model: the file is empty"},
		{errors.New("analysis: too large"), "analysis: too large"},
	} {
		if got := newFailure("dir/m.onnx", c.err).Obstacles[0].Reason; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
