package command

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune"
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
	// Kernels names the instructions of the loops over weights.
	Kernels string `json:"kernels"`
	// GPU says what this program can do with a graphics card, and whether the
	// machine has a driver for one.
	GPU    string   `json:"gpu"`
	Advice []string `json:"advice"`
}

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Show the version, the BLAS and device found, and how to get a faster one",
		Long: `doctor shows what this program runs on: its version, the processors, which
library does its matrix products, which instructions read the weights, and
whether there is a graphics card, with advice where something faster can be had.`,
		Example: `  relupath doctor`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.report(doctorDocument(diagnosis()), "", a.existing()) },
	}
}

func diagnosis() *doctorJSON {
	d := &doctorJSON{
		Schema: "relupath.doctor/1", Version: version(), Go: runtime.Version(), OS: runtime.GOOS,
		Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), BLAS: blas.Find().Name(), Tried: filled(blas.Tried()),
		Kernels: kernel.Vector(), GPU: gpu(), Advice: []string{},
	}
	if !blas.Find().Library() {
		what := "singular values are computed in Go; OpenBLAS is several times as fast"
		if !kernel.Multiplies() {
			what = "matrix products run in Go; OpenBLAS is about ten times as fast"
		}
		d.Advice = append(d.Advice, what+" and is used when installed (Debian: apt install libopenblas0)")
	}
	return d
}

// nvidiaDriver is the file in which Linux shows the version of NVIDIA's driver.
const nvidiaDriver = "/proc/driver/nvidia/version"

// gpu says in a sentence what is there.
func gpu() string {
	if finetune.HasCUDA {
		g, err := finetune.FindGPU()
		if err != nil {
			return "none: " + err.Error()
		}
		return fmt.Sprintf("%s, %d MB, compute capability %s, driver for CUDA %s, cuBLAS %s",
			g.Name, g.Memory>>20, g.Capability, g.Driver, g.CUBLAS)
	}
	driver := "no NVIDIA driver is loaded"
	if raw, err := os.ReadFile(nvidiaDriver); err == nil {
		first, _, _ := strings.Cut(string(raw), "\n")
		driver = strings.Join(strings.Fields(first), " ")
	}
	return "this program computes on the CPU; see docs/gpu.md for the build with CUDA (" + driver + ")"
}

func doctorDocument(d *doctorJSON) *render.Document {
	t := render.Table{Columns: []string{"", ""}}
	for _, row := range [][2]string{
		{"version", d.Version},
		{"go", d.Go},
		{"system", d.OS + "/" + d.Arch},
		{"blas", d.BLAS},
		{"tried", strings.Join(d.Tried, ", ")},
		{"kernels", d.Kernels},
		{"gpu", d.GPU},
	} {
		t.Add(render.Text(row[0]), render.Text(row[1]))
	}
	t.Add(render.Text("cpus"), render.Int(d.CPUs))
	return &render.Document{Title: "relupath doctor", Label: "relupath-doctor", Data: d, Tables: []render.Table{t}, Notes: d.Advice}
}
