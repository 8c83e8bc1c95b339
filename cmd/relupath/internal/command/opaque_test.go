package command

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A network with functions that are not evaluated is balanced by every method and proved segment by
// segment, which the report says in each format; what is written is the same network for equivalent, as
// the functions are the same in both files. One file's operator reads a bias that a layer has too, and
// goes on reading its old numbers.
func TestBalanceBySegment(t *testing.T) {
	for _, c := range []struct{ name, start string }{
		{"operator", `"foo" (nobody.knows.Foo)`},
		{"loop", `"loop" (Loop)`},
		{"scan", `"scan" (Scan)`},
		{"suppression", `"suppression" (NonMaxSuppression)`},
	} {
		model, folder := filepath.Join("testdata", "opaque", c.name+".onnx"), t.TempDir()
		unbalanced := filepath.Join(folder, "u.onnx")
		for _, line := range []string{"--method unbalance", "--method enorm", "--method cle", "--method path", "--method pathcond", "--method enorm --exact"} {
			from, to := unbalanced, filepath.Join(folder, "b.onnx")
			if strings.HasSuffix(line, "unbalance") {
				from, to = model, unbalanced
			}
			args := append(strings.Fields(line), "--force", "-o", to)
			r, _ := parsed[balanceJSON](t, append([]string{"balance", from}, args...)...)
			v := r.Verification
			if v.Proof != bySegment || !slices.Contains(v.Unevaluated, c.start) || v.Budget == nil || !(v.Cost > 0) || len(v.Undecided) > 0 {
				t.Errorf("%s %s: %+v", c.name, line, v)
			}
			if f := r.Factors; *f.Min == 1 && *f.Max == 1 {
				t.Errorf("%s %s: no factors", c.name, line)
			}
			if e, _ := parsed[equivalentJSON](t, "equivalent", model, to); e.Equivalent == nil || !*e.Equivalent {
				t.Errorf("%s %s: not equivalent: %+v", c.name, line, e)
			}
		}
		for _, format := range []string{"table", "markdown", "html"} {
			var out, errs bytes.Buffer
			if code := Run([]string{"balance", model, "--dry-run", "--format", format}, nil, &out, &errs); code != 0 {
				t.Fatalf("%s: %s", c.name, &errs)
			}
			words := strings.Join(strings.Fields(out.String()), " ")
			for _, want := range []string{bySegment, "random values of what is not evaluated", "(budget 5e+10)", "path_norm, kappa_spread: undefined: functions stand between its layers"} {
				if !strings.Contains(words, want) {
					t.Errorf("%s as %s lacks %q", c.name, format, want)
				}
			}
		}
	}
}

// An operator that is not evaluated with another attribute may be another function.
func TestEquivalentOfOtherOperators(t *testing.T) {
	var out, errs bytes.Buffer
	code := Run([]string{"equivalent", "testdata/opaque/operator.onnx", "testdata/opaque/other.onnx"}, nil, &out, &errs)
	if code != 4 || !strings.Contains(out.String(), "not decided") {
		t.Errorf("exit code %d: %s%s", code, &out, &errs)
	}
}

// What is not evaluated stops no pruning: the weights between go by the same scores, those inside such a
// function stay, the parts between are compared, and units that are dead go from the file, in which the
// values of these functions keep the shapes that nothing else tells.
func TestPruneBesideOpaque(t *testing.T) {
	for _, name := range []string{"operator", "loop", "scan", "suppression"} {
		model, pruned := filepath.Join("testdata", "opaque", name+".onnx"), filepath.Join(t.TempDir(), "pruned.onnx")
		for _, by := range []string{"path", "magnitude"} {
			r, _ := parsed[pruneJSON](t, "prune", model, "--sparsity", "0.6", "--by", by, "--remove-dead", "--force", "-o", pruned)
			if r.Proof != bySegment || len(r.Unevaluated) == 0 || r.MaxAbs == nil || *r.MaxAbs == 0 || r.Bound {
				t.Errorf("%s by %s: %q, not evaluated %q, bound %v", name, by, r.Proof, r.Unevaluated, r.Bound)
			}
			if r.Removed.Units == 0 || *r.Removed.MaxRel > removalTolerance {
				t.Errorf("%s by %s: removed %+v", name, by, r.Removed)
			}
			free := 0
			for _, l := range r.Layers {
				switch inside := strings.Contains(l.Kept, "inside"); {
				case inside && (l.Layer != "loop" || l.Zeros[1] != 0):
					t.Errorf("%s by %s: %+v", name, by, l)
				case !inside:
					free += l.Weights
				}
			}
			if r.Zeros[1] != int(0.6*float64(free)) || name == "loop" && free == r.Weights {
				t.Errorf("%s by %s: %d zeros of %d, of %d in all", name, by, r.Zeros[1], free, r.Weights)
			}
		}
	}
}
