package command

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune/experiment"
	"github.com/relupath/relupath/internal/lists"
)

// experimentJSON is what --format json shows of an experiment.
type experimentJSON struct {
	*experimentConfig
	Title  string                `json:"title"`
	Tables []experimentTableJSON `json:"tables"`
	Claims []experimentClaimJSON `json:"claims"`
	Notes  []string              `json:"notes"`
}

type experimentTableJSON struct {
	Title   string   `json:"title"`
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

type experimentClaimJSON struct {
	Claim     string `json:"claim"`
	Source    string `json:"source"`
	Criterion string `json:"criterion"`
	Measured  string `json:"measured"`
	Verdict   string `json:"verdict"`
}

// experimentDocument lays a report out.
func experimentDocument(r *experiment.Report, config *experimentConfig) *render.Document {
	d := &render.Document{Title: r.Title, Label: "relupath-" + r.Name, Notes: r.Notes}
	records := experimentTable(&r.Curves)
	d.Records = &records
	data := experimentJSON{experimentConfig: config, Title: r.Title, Notes: r.Notes}
	for i := range r.Tables {
		t := &r.Tables[i]
		d.Tables = append(d.Tables, experimentTable(t))
		data.Tables = append(data.Tables, experimentTableJSON{t.Title, t.Columns, numbers(t.Rows)})
	}
	claims := render.Table{Title: "Claims", Columns: []string{"no", "claim", "verdict", "measured"}}
	for i, c := range r.Claims {
		claims.Add(render.Int(i+1), render.Text(c.Text), render.Text(string(c.Verdict)), render.Text(c.Measured))
		data.Claims = append(data.Claims, experimentClaimJSON{c.Text, c.Source, c.Criterion, c.Measured, string(c.Verdict)})
	}
	d.Tables = append(d.Tables, claims, criteria(r.Claims))
	d.Data = data
	for i := range r.Figures {
		f := &r.Figures[i]
		d.Figures = append(d.Figures, render.Figure{Name: f.Name, Title: f.Title, Caption: f.Caption, Chart: experimentPanels(f)})
	}
	return d
}

// criteria lists what decides about the claims, and who made them, each once
// with the numbers of its claims.
func criteria(claims []experiment.Claim) render.Table {
	type rule struct{ criterion, source string }
	var rules []rule
	numbers := map[rule][]int{}
	for i, c := range claims {
		k := rule{c.Criterion, c.Source}
		if numbers[k] == nil {
			rules = append(rules, k)
		}
		numbers[k] = append(numbers[k], i+1)
	}
	t := render.Table{Title: "Criteria", Columns: []string{"claims", "criterion", "source"}}
	for _, k := range rules {
		t.Add(render.Text(runs(numbers[k])), render.Text(k.criterion), render.Text(k.source))
	}
	return t
}

// runs writes rising numbers as 1-3, 5.
func runs(n []int) string {
	var parts []string
	for lo := 0; lo < len(n); {
		hi := lo
		for hi+1 < len(n) && n[hi+1] == n[hi]+1 {
			hi++
		}
		s := strconv.Itoa(n[lo])
		if hi > lo {
			s += "-" + strconv.Itoa(n[hi])
		}
		parts = append(parts, s)
		lo = hi + 1
	}
	return strings.Join(parts, ", ")
}

func experimentPanels(f *experiment.Figure) *render.Panels {
	out := &render.Panels{}
	for _, k := range f.Legend {
		out.Legend = append(out.Legend, render.LegendKey(k))
	}
	for i := range f.Panels {
		p := &f.Panels[i]
		q := render.Panel{Title: p.Title, XAxis: p.X, YAxis: p.Y, XScale: axisScale(p.XScale), YScale: axisScale(p.YScale), XTicks: p.XTicks}
		for _, c := range p.Curves {
			q.Curves = append(q.Curves, render.Curve(c))
		}
		out.Panels = append(out.Panels, q)
	}
	return out
}

func axisScale(s experiment.Scale) render.Scale {
	if s == experiment.Log {
		return render.LogScale
	}
	return render.LinearScale
}

func experimentTable(t *experiment.Table) render.Table {
	out := render.Table{Title: t.Title, Columns: t.Columns, Keys: t.Keys}
	for _, row := range t.Rows {
		cells := lists.Map(row, experimentCell)
		out.Add(cells...)
	}
	return out
}

func experimentCell(v any) render.Cell {
	switch v := v.(type) {
	case nil:
		return render.Cell{}
	case string:
		return render.Text(v)
	case int:
		return render.Int(v)
	case float64:
		if math.IsNaN(v) {
			return render.Cell{}
		}
		return render.Float(v)
	case experiment.Percent:
		if math.IsNaN(float64(v)) {
			return render.Cell{}
		}
		return render.Fixed(float64(v), 2)
	}
	panic(fmt.Sprintf("command: a table's cell of type %T", v))
}

// numbers replaces what JSON cannot hold by null.
func numbers(rows [][]any) [][]any {
	out := make([][]any, len(rows))
	for i, row := range rows {
		out[i] = make([]any, len(row))
		for k, v := range row {
			var x float64
			switch w := v.(type) {
			case float64:
				x = w
			case experiment.Percent:
				x = float64(w)
			}
			if x-x == 0 {
				out[i][k] = v
			}
		}
	}
	return out
}
