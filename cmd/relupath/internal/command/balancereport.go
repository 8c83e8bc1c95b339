package command

import (
	"context"
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// balanceJSON is the result of balance, schema relupath.balance/1.
type balanceJSON struct {
	Schema       string       `json:"schema"`
	Method       string       `json:"method"`
	P            string       `json:"p"`
	Bias         string       `json:"bias"`
	Objective    change       `json:"objective"`
	Factors      factors      `json:"factors"`
	Invariants   []change     `json:"invariants"`
	Verification verification `json:"verification"`
	Sweeps       int          `json:"sweeps"`
	Residual     *float64     `json:"residual"`
	// Infimum says that the objective's minimum is not attained; the factors
	// reach it up to the relative Delta.
	Infimum bool    `json:"infimum,omitempty"`
	Delta   float64 `json:"delta,omitempty"`
	Exact   bool    `json:"exact"`
	// Output is empty when nothing was written.
	Output string `json:"output"`
}

// change is a number before and after; null where float64 cannot hold it, with
// the logarithm beside it.
type change struct {
	Name        string   `json:"name"`
	P           string   `json:"p,omitempty"`
	Before      *float64 `json:"before"`
	After       *float64 `json:"after"`
	BeforeLog10 *float64 `json:"before_log10"`
	AfterLog10  *float64 `json:"after_log10"`
	before      scaled.Num
	after       scaled.Num
}

func newChange(name, p string, before, after scaled.Num) change {
	return change{name, p, render.RealNum(before), render.RealNum(after),
		render.Log10(before), render.Log10(after), before, after}
}

type factors struct {
	Groups int      `json:"groups"`
	Min    *float64 `json:"min"`
	Max    *float64 `json:"max"`
	Pinned int      `json:"pinned"`
}

type verification struct {
	Samples      int      `json:"samples"`
	Inputs       int      `json:"inputs"`
	MaxAbs       *float64 `json:"max_abs_diff"`
	MaxRel       *float64 `json:"max_rel_diff"`
	BitIdentical bool     `json:"bit_identical"`
	Tolerance    float64  `json:"tolerance"`
	Where        string   `json:"where,omitempty"`
	rel          float64
}

func newBalanceJSON(o *balanceOptions, res *rescale.Result) *balanceJSON {
	r := &balanceJSON{
		Schema: "relupath.balance/1", Method: o.method, P: o.p.String(),
		Objective: newChange(res.Objective.Name, "", res.Objective.Before, res.Objective.After),
		Factors:   factorsOf(res.Groups, res.Factors),
		Sweeps:    res.Sweeps, Residual: render.Real(res.Residual), Infimum: res.Infimum, Delta: res.Delta,
		Exact: o.exact,
	}
	return r
}

// factorsOf counts the groups that hold units and the range of their factors.
func factorsOf(g *dag.Groups, c []float64) factors {
	var f factors
	lo, hi := math.Inf(1), math.Inf(-1)
	for id, size := range g.Size {
		if id == dag.InputGroup || size == 0 {
			continue
		}
		f.Groups++
		if g.Pin[id] != "" {
			f.Pinned++
		}
		lo, hi = min(lo, c[id]), max(hi, c[id])
	}
	f.Min, f.Max = render.Real(lo), render.Real(hi)
	return f
}

// invariants takes the path norms that rescaling must keep from both networks.
func invariants(ctx context.Context, a *app, before, after *dag.Network) ([]change, error) {
	opt := analysis.Options{P: []float64{1, 2, math.Inf(1)}, Names: []string{"path_norm"}, Threads: a.threads, Bias: a.biasPolicy()}
	var rs [2]*analysis.Report
	for i, n := range []*dag.Network{before, after} {
		r, err := analysis.Measures(ctx, n, opt)
		if err != nil {
			return nil, err
		}
		rs[i] = r
	}
	var out []change
	for i, m := range rs[0].Measures {
		if m.Name == "path_norm" {
			out = append(out, newChange(m.Name, m.P, m.Value, rs[1].Measures[i].Value))
		}
	}
	return out, nil
}

func balanceDocument(r *balanceJSON) *render.Document {
	t := render.Table{Columns: []string{"quantity", "p", "before", "after"}, Keys: 2}
	for _, c := range append([]change{r.Objective}, r.Invariants...) {
		name := c.Name
		if c.P == "" {
			name += " (objective)"
		}
		t.Add(render.Code(name), render.Text(c.P), render.Number(c.before), render.Number(c.after))
	}
	v := &r.Verification
	f := render.Table{Columns: []string{"", ""}}
	f.Add(render.Text("method"), render.Text(r.Method))
	f.Add(render.Text("factors"), render.Text(fmt.Sprintf("%d groups, %d pinned, %s to %s",
		r.Factors.Groups, r.Factors.Pinned, short(r.Factors.Min), short(r.Factors.Max))))
	f.Add(render.Text("sweeps"), render.Int(r.Sweeps))
	if r.Infimum {
		f.Add(render.Text("infimum"), render.Text(fmt.Sprintf("not attained; reached up to a factor 1+%.3g", r.Delta)))
	}
	f.Add(render.Text("compared on"), render.Text(fmt.Sprintf("%d inputs, %d of them random", v.Inputs, v.Samples)))
	diff := fmt.Sprintf("%s, %s relative to the largest output; tolerance %.3g", short(v.MaxAbs), short(v.MaxRel), v.Tolerance)
	if v.BitIdentical {
		diff = "none: bit-identical"
	}
	f.Add(render.Text("difference"), render.Text(diff))
	out := r.Output
	if out == "" {
		out = "nothing"
	}
	f.Add(render.Text("written"), render.Code(out))
	return &render.Document{Data: r, Tables: []render.Table{f, t}, Records: balanceRecords(r)}
}

// balanceRecords is the tidy table: one quantity a row.
func balanceRecords(r *balanceJSON) *render.Table {
	t := &render.Table{Columns: []string{"quantity", "p", "before", "after", "before_log10", "after_log10"}}
	for _, c := range append([]change{r.Objective}, r.Invariants...) {
		t.Add(render.Text(c.Name), render.Text(c.P), optional(c.Before), optional(c.After),
			optional(c.BeforeLog10), optional(c.AfterLog10))
	}
	add := func(name string, x *float64) { t.Add(render.Text(name), render.Cell{}, render.Cell{}, optional(x)) }
	add("factor_min", r.Factors.Min)
	add("factor_max", r.Factors.Max)
	add("max_abs_diff", r.Verification.MaxAbs)
	add("max_rel_diff", r.Verification.MaxRel)
	return t
}

// short writes a number with few digits; null, which JSON has for an infinite
// one, as infinite.
func short(x *float64) string {
	if x == nil {
		return "infinite"
	}
	return fmt.Sprintf("%.4g", *x)
}
