package testmodels_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/testmodels"
)

// datasets returns the folder of the public data sets: below RELUPATH_SHARED,
// else beside the repository.
func datasets(t *testing.T) string {
	t.Helper()
	root, named := os.LookupEnv("RELUPATH_SHARED")
	if !named {
		root = "../../shared"
	}
	dir := filepath.Join(root, "datasets")
	if _, err := os.Stat(dir); err != nil {
		if named {
			t.Fatalf("RELUPATH_SHARED is set: %v", err)
		}
		t.Skip("no shared data sets: set RELUPATH_SHARED")
	}
	return dir
}

// TestAccuracy computes the accuracy on the whole test set, where that comes in
// files of its own, and compares it with what the training program reported.
func TestAccuracy(t *testing.T) {
	dir := datasets(t)
	usps := "csv:" + dir + "/usps/zip.test.csv.gz,header,label=0"
	for name, data := range map[string]string{
		"mnist_mlp":      "mnist:" + dir + "/mnist,split=test",
		"usps_batchnorm": usps,
		"usps_conv":      usps,
		"usps_keras":     usps,
	} {
		t.Run(name, func(t *testing.T) {
			spec, err := dataset.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			set, err := dataset.Load(context.Background(), spec, dataset.Options{})
			if err != nil {
				t.Fatal(err)
			}
			order := make([]int, set.Len())
			for i := range order {
				order[i] = i
			}
			x := make([]float64, set.Len()*set.Size())
			set.Batch64(x, order)
			n := open(t, name).Net
			y, err := eval.Run(context.Background(), n, [][]float64{x}, set.Len(), eval.Options{})
			if err != nil {
				t.Fatal(err)
			}
			right := 0
			for i, label := range set.Labels() {
				if floats.MaxIdx(row(y[0], i, set.Len())) == label {
					right++
				}
			}
			// Accuracies are recorded to four digits; one example more is for logits
			// that are equal in float32.
			got, want := float64(right)/float64(set.Len()), *testmodels.TrainingOf(name).TestAccuracy
			if !(math.Abs(got-want) <= 0.5e-4+1/float64(set.Len())) {
				t.Errorf("accuracy %.4f, want %.4f", got, want)
			}
		})
	}
}
