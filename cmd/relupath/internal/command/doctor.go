package command

import (
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// doctorJSON is the result of doctor, schema relupath.doctor/1.
type doctorJSON struct {
	Schema  string   `json:"schema"`
	Version string   `json:"version"`
	Go      string   `json:"go"`
	OS      string   `json:"os"`
	Arch    string   `json:"arch"`
	CPUs    int      `json:"cpus"`
	BLAS    string   `json:"blas"`
	Tried   []string `json:"blas_tried"`
	Advice  []string `json:"advice"`
}

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Show the version, the BLAS found, and how to get a faster one",
		Long: `doctor shows what this program runs on: its version, the processors, and which
library does its matrix products, with advice where a faster one can be had.`,
		Example: `  relupath doctor`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.report(doctorDocument(diagnosis()), "") },
	}
}

func diagnosis() *doctorJSON {
	d := &doctorJSON{Schema: "relupath.doctor/1", Version: version(), Go: runtime.Version(), OS: runtime.GOOS,
		Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), BLAS: blas.Find().Name(), Tried: filled(blas.Tried()), Advice: []string{}}
	if !strings.Contains(strings.ToLower(d.BLAS), "openblas") {
		d.Advice = append(d.Advice, "matrix products run in Go; OpenBLAS is about ten times as fast and is used when installed (Debian: apt install libopenblas0)")
	}
	return d
}

func doctorDocument(d *doctorJSON) *render.Document {
	t := render.Table{Columns: []string{"", ""}}
	for _, row := range [][2]string{
		{"version", d.Version}, {"go", d.Go}, {"system", d.OS + "/" + d.Arch}, {"blas", d.BLAS},
		{"tried", strings.Join(d.Tried, ", ")},
	} {
		t.Add(render.Text(row[0]), render.Text(row[1]))
	}
	t.Add(render.Text("cpus"), render.Int(d.CPUs))
	return &render.Document{Data: d, Tables: []render.Table{t}, Notes: d.Advice}
}
