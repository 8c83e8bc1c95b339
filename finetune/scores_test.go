package finetune_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
)

// What an unknown classifier reads are no scores, though there is one for each class.
func TestInputsAreNoScores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte("1,2,0\n3,4,1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := dataset.Parse("csv:" + path)
	if err != nil {
		t.Fatal(err)
	}
	set, err := dataset.Load(t.Context(), spec, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	build := func(layers int) (*dag.Network, int) {
		var b dag.Builder
		x := b.Input("x", 2)
		in := []int{x}
		for range layers {
			in = append(in, b.Affine("fc", x, 2, []float64{1, 2, 3, 4}, nil))
		}
		b.Output("p", b.Node(dag.Node{
			Name: "head", Source: "LinearClassifier", In: in, Shape: []int{2},
			Op: &dag.Func{Kind: dag.Opaque, Why: "the operator is not supported"},
		}))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n, in[len(in)-1]
	}
	alone, _ := build(0)
	for _, name := range []string{"", "p", "head"} {
		if i, err := finetune.Scores(alone, set, name); err == nil || !strings.Contains(err.Error(), "LinearClassifier") {
			t.Errorf("%q: scores of node %d, %v", name, i, err)
		}
	}
	// A layer beside the input gives them.
	beside, want := build(1)
	if i, err := finetune.Scores(beside, set, ""); err != nil || i != want {
		t.Errorf("scores of node %d, %v; want %d", i, err, want)
	}
}
