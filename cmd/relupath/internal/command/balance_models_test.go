package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/cmd/relupath/internal/golden"
	"github.com/relupath/relupath/cmd/relupath/internal/proof"
	"github.com/relupath/relupath/onnxio"
)

// worst is the model that came out worst of one method and one stored type.
type worst struct {
	models int
	rel    float64
	where  string
}

// TestBalanceSharedModels balances every shared model that can be read by every
// method, writes it, reads it again and compares outputs: within the tolerance of
// its type, and bit for bit with exact factors. With -update the worst cases go
// into docs/balancing.md.
func TestBalanceSharedModels(t *testing.T) {
	if testing.Short() {
		t.Skip("some minutes")
	}
	root, named := os.LookupEnv("RELUPATH_SHARED")
	if !named {
		root = filepath.Join("..", "..", "..", "..", "..", "shared")
	}
	root = filepath.Join(root, "models")
	if _, err := os.Stat(root); err != nil {
		if named {
			t.Fatal(err)
		}
		t.Skip("no shared models: ", err)
	}
	table := map[string]*worst{}
	read, refused := 0, 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".onnx" {
			return err
		}
		m, err := onnxio.Read(path, onnxio.Options{})
		if err != nil {
			refused++
			return nil
		}
		defer m.Close()
		if notFinite(m.Net, 1) != nil {
			refused++
			return nil
		}
		read++
		name, _ := filepath.Rel(root, path)
		balanceShared(t, m, name, table)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d models balanced, %d cannot be read or are not finite", read, refused)
	if read < 100 {
		t.Errorf("%d models, want at least 100", read)
	}
	if *golden.Update {
		updateWorst(t, table)
	}
}

func balanceShared(t *testing.T, m *onnxio.Model, name string, table map[string]*worst) {
	ctx := context.Background()
	typ := coarsest(m.Net)
	for _, method := range []rescale.Method{rescale.Path, rescale.EqualNorm, rescale.CrossLayer, rescale.PathConditioned} {
		r, err := rescale.Run(ctx, method, m.Net, rescale.Options{Threads: 2})
		if err != nil {
			t.Errorf("%s: %s: %v", name, method, err)
			continue
		}
		if method != rescale.Path && !(r.Residual <= 1e-8) {
			t.Errorf("%s: %s: residual %v after %d sweeps", name, method, r.Residual, r.Sweeps)
		}
		got, err := balanced(ctx, t, m, r)
		if err != nil {
			t.Errorf("%s: %s: %v", name, method, err)
			continue
		}
		if got.Unexplained > 0 || len(got.Undecided) > 0 {
			t.Errorf("%s: %s: outputs differ by %v (%s); not decided: %v", name, method, got.Unexplained, got.UnexplainedAt, got.Undecided)
		}
		if r, err = rescale.Run(ctx, method, m.Net, rescale.Options{Threads: 2, Exact: true}); err != nil {
			t.Errorf("%s: %s, exact: %v", name, method, err)
			continue
		}
		exact, err := balanced(ctx, t, m, r)
		if err != nil || !exact.BitIdentical {
			t.Errorf("%s: %s, exact: %v, bit-identical %v", name, method, err, err == nil && exact.BitIdentical)
			continue
		}
		key := typ.String() + " " + string(method)
		w := table[key]
		if w == nil {
			w = &worst{}
			table[key] = w
		}
		w.models++
		if got.MaxRel >= w.rel {
			w.rel, w.where = got.MaxRel, name
		}
	}
}

// balanced applies factors, writes the model, reads it back and compares.
func balanced(ctx context.Context, t *testing.T, m *onnxio.Model, r *rescale.Result) (*proof.Result, error) {
	out, err := m.Net.Rescale(r.Groups, r.Factors)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := m.WriteFile(path, out, onnxio.WriteOptions{SkipSync: true}); err != nil {
		return nil, err
	}
	back, err := onnxio.Read(path, onnxio.Options{})
	if err != nil {
		return nil, err
	}
	p, err := proof.Compare(ctx, m.Net, back.Net, proof.Options{
		Samples: 8, Seed: 1, Threads: 2,
		Unrounded: func() (*dag.Network, error) { return unrounded(m.Net, back.Net, r) },
	})
	return p, errors.Join(err, back.Close())
}

func coarsest(n *dag.Network) dag.DType {
	typ := dag.Float64
	for _, p := range n.Params() {
		if p.Type.Epsilon() > typ.Epsilon() {
			typ = p.Type
		}
	}
	return typ
}

// updateWorst rewrites the table of docs/balancing.md.
func updateWorst(t *testing.T, table map[string]*worst) {
	path := filepath.Join("..", "..", "..", "..", "docs", "balancing.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- worst cases -->\n", "<!-- end of worst cases -->"
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	var b strings.Builder
	b.WriteString("| stored type | method | models | largest relative difference | model | exact |\n|---|---|---:|---:|---|---|\n")
	for _, typ := range []dag.DType{dag.Float64, dag.Float32, dag.Float16, dag.BFloat16} {
		for _, info := range rescale.Methods() {
			m := string(info.Method)
			w := table[typ.String()+" "+m]
			if w == nil {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %.1e | %s | bit-identical |\n", typ, m, w.models, math.Abs(w.rel), w.where)
		}
	}
	if err := os.WriteFile(path, []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The ranges of a network of two units, by hand. Incoming weights of the units (60, 10) and
// (1, 4), of the outputs (0.1, 1) and (0.1, 2). cle makes each unit's largest incoming weight
// equal to its largest outgoing one: sqrt(60 0.1) and sqrt(4 2).
func TestBalanceReportsRanges(t *testing.T) {
	inTestmodels(t)
	r, _ := parsed[balanceJSON](t, "balance", "toy_unbalanced.onnx", "--method", "cle", "--dry-run")
	a, b := math.Sqrt(6), math.Sqrt(8)
	want := map[string][2]float64{
		"channel_range": {60.0 / 4, b / a}, "largest_weight": {60, b}, "smallest_channel": {1, a},
		"layer 0": {60.0 / 4, b / a}, "layer 1": {2, b / a},
	}
	got := map[string][2]float64{}
	for _, c := range r.Ranges {
		got[c.Name] = [2]float64{*c.Before, *c.After}
	}
	for i, l := range r.Layers {
		got[fmt.Sprintf("layer %d", i)] = [2]float64{*l.ChannelRange.Before, *l.ChannelRange.After}
	}
	// The weights are float32: each carries an error of at most 6e-8 of itself.
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(3e-7, 0)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestLemma: of layered ReLU networks the least mu_{p,inf}^d over rescalings, without biases, is the largest
// output's path norm: the path norm itself for one output, less for several (docs/experiments.md).
func TestLemma(t *testing.T) {
	inTestmodels(t)
	for _, c := range []struct {
		model string
		one   bool
	}{{"cancer_sklearn", true}, {"mnist_mlp", false}, {"digits_nobias", false}, {"digits_softmax", false}} {
		for _, p := range []string{"1", "2"} {
			output(t, fmt.Sprintf("balance %s.onnx --method path --p %s --bias exclude -o out.onnx --force", c.model, p))
			var got struct {
				Models []struct {
					Depth    float64
					Measures []struct {
						Measure string `json:"name"`
						Value   float64
					}
				}
			}
			columns := fmt.Sprintf("depth,path_norm(%[1]s),path_norm_max_output(%[1]s),group_norm(%[1]s,inf)", p)
			raw := output(t, "audit out.onnx --bias exclude --format json --columns "+columns+" --p "+p+" --group "+p+":inf --measures path_norm,path_norm_max_output,group_norm")
			if err := json.Unmarshal([]byte(raw), &got); err != nil {
				t.Fatal(err)
			}
			of := map[string]float64{}
			for _, m := range got.Models[0].Measures {
				of[m.Measure] = m.Value
			}
			least, norm, largest := math.Pow(of["group_norm"], got.Models[0].Depth), of["path_norm"], of["path_norm_max_output"]
			// Weights are float32: each layer is off by 1e-7 at most.
			if math.Abs(least-largest) > 1e-6*largest {
				t.Errorf("%s, p = %s: the least is %v, the largest output's path norm %v", c.model, p, least, largest)
			}
			if same := math.Abs(least-norm) < 1e-6*norm; same != c.one {
				t.Errorf("%s, p = %s: the least is %v, the path norm %v", c.model, p, least, norm)
			}
		}
	}
}
