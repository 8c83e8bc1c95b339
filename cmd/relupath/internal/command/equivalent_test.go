package command

import (
	"encoding/json"
	"strings"
	"testing"
)

// Files that hold one function in two forms, as exporters write them, are
// equivalent either way round, with factors 1 where units correspond; other
// functions are not.
func TestEquivalentInOtherForms(t *testing.T) {
	for _, c := range []struct {
		a, b string
		code int
	}{
		{"cnn_ts", "cnn_dy", 0}, // global pooling and a mean, two exporters
		{"gap", "rmean", 0},
		{"gap", "rmean_keep", 0},
		{"rmean", "rmean_keep", 0},
		{"bnpost", "bnpost_fold", 0}, // normalisation after the activation, folded
		{"gap", "cnn_dy", 1},         // other inputs
	} {
		for _, files := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			for _, more := range []string{"", " --permute"} {
				line := "equivalent testdata/forms/" + files[0] + ".onnx testdata/forms/" + files[1] + ".onnx --format json" + more
				var stdout, stderr strings.Builder
				if code := Run(strings.Fields(line), strings.NewReader(""), &stdout, &stderr); code != c.code {
					t.Errorf("%s: exit code %d, want %d\n%s%s", line, code, c.code, &stdout, &stderr)
					continue
				}
				var r equivalentJSON
				if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				if r.Equivalent == nil || *r.Equivalent != (c.code == 0) {
					t.Errorf("%s: equivalent %v", line, r.Equivalent)
				}
				if c.code == 0 && (r.Factors == nil || r.Factors.Min == nil || *r.Factors.Min < 1-1e-6 || *r.Factors.Max > 1+1e-6) {
					t.Errorf("%s: factors %+v, want 1", line, r.Factors)
				}
			}
		}
	}
}
