// Package testmodels holds small networks that were trained on real data and
// written by real exporters, with numbers about them that were computed by
// something else than relupath. Tests, examples and the README use it.
//
// README.md says what each file is and how it was made; scripts/ made it.
package testmodels

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed *.onnx *.onnx.data
var models embed.FS

//go:embed expected training.json
var records embed.FS

// Names returns the models' names, sorted: the file of "toy" is toy.onnx.
func Names() []string {
	// The patterns above are fixed, so the only error, a malformed one, cannot occur.
	files, _ := fs.Glob(models, "*.onnx")
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".onnx")
	}
	return slices.Sorted(slices.Values(files))
}

// Bytes returns a new copy of a model's file. It panics when there is none of
// this name.
func Bytes(name string) []byte { return read(models, name+".onnx") }

// Files returns the models' files, and the files beside them that hold
// external data: os.CopyFS(dir, Files()) puts them where a path is needed.
func Files() fs.FS { return models }

// Expected holds what is known about a model from other programs: the measures
// from scripts/measures.py (by their definitions, in NumPy's long double), the
// outputs from ONNX Runtime.
type Expected struct {
	Schema    int    `json:"schema"`
	Model     string `json:"model"`
	Producer  string `json:"producer"`
	IRVersion int64  `json:"ir_version"`
	Opset     int64  `json:"opset"`
	// Input is the file's one input; Preamble lists the operators that map it
	// by constants before the measured part.
	Input struct {
		Name     string   `json:"name"`
		Shape    []any    `json:"shape"`
		Elements int      `json:"elements"`
		Preamble []string `json:"preamble"`
	} `json:"input"`
	// Measured is the value at which the measured part ends; Head lists the
	// operators behind it.
	Measured struct {
		Name     string   `json:"name"`
		Elements int      `json:"elements"`
		Head     []string `json:"head"`
	} `json:"measured_output"`
	Parameters  int64   `json:"parameters"`
	Depth       int     `json:"depth"`
	HiddenUnits int64   `json:"hidden_units"`
	Layers      []Layer `json:"layers"`
	Network     Network `json:"network"`
	// Policies has the entries include and exclude: with biases as edges from a
	// constant unit, and without biases.
	Policies map[string]Policy `json:"policies"`
	// PathsEnumerated says that the path norms were also computed from the
	// explicit vector of all paths.
	PathsEnumerated bool     `json:"paths_enumerated"`
	Runtime         string   `json:"runtime"`
	Samples         []Sample `json:"samples"`
}

// Layer holds the measures of one linear layer's matrix W, without its bias. A
// convolution's matrix has one row for each output channel.
type Layer struct {
	Name       string  `json:"name"`
	Rows       int     `json:"rows"`
	Cols       int     `json:"cols"`
	Bias       bool    `json:"bias"`
	Frobenius  float64 `json:"frobenius"`
	Spectral   float64 `json:"spectral"`
	Nuclear    float64 `json:"nuclear"`
	StableRank float64 `json:"stable_rank"`
	MaxAbs     float64 `json:"max_abs"`
	ZeroShare  float64 `json:"zero_share"`
	L1Inf      float64 `json:"l1_inf"`
	L21        float64 `json:"l2_1"`
}

// Network holds the measures of all matrices together, without biases. The
// keys of Products are frobenius, spectral, l1_inf and l3_1.5.
type Network struct {
	Frobenius float64           `json:"frobenius"`
	MaxAbs    float64           `json:"max_abs"`
	ZeroShare float64           `json:"zero_share"`
	Products  map[string]Number `json:"products"`
}

// Number is a value and its decimal logarithm. Value is nil where it leaves the
// normal range of float64, Log10 is nil where the value is zero.
type Number struct {
	Value *float64 `json:"value"`
	Log10 *float64 `json:"log10"`
}

// Policy holds what depends on whether biases count. PathNorms has the keys 1,
// 2, 16 and inf, GroupNorms keys such as "2,inf" for p = 2 and q = inf.
type Policy struct {
	// Paths is the exact number of input-to-output paths, in decimal.
	Paths      string               `json:"paths"`
	PathNorms  map[string]PathNorm  `json:"path_norms"`
	GroupNorms map[string]GroupNorm `json:"group_norms"`
}

// PathNorm is the path norm of the whole network and the logarithm of that of
// each output.
type PathNorm struct {
	Number
	OutputsLog10 []*float64 `json:"outputs_log10"`
}

// GroupNorm is the group norm of the whole network, of each layer, and the
// logarithm of the layers' product.
type GroupNorm struct {
	Number
	Layers       []float64 `json:"layers"`
	ProductLog10 *float64  `json:"product_log10"`
}

// Sample is one input and what ONNX Runtime makes of it without graph
// optimisation: Outputs by name, and Measured at the end of the measured part.
// Every value is flat.
type Sample struct {
	Input    []float64            `json:"input"`
	Measured []float64            `json:"measured"`
	Outputs  map[string][]float64 `json:"outputs"`
}

// ExpectedOf returns what is known about a model. It panics when there is none
// of this name.
func ExpectedOf(name string) *Expected {
	var e Expected
	decode(read(records, "expected/"+name+".json"), &e)
	return &e
}

// Training says how a model was made and how well it does. Accuracies are
// shares of right answers; a regression has R2, the coefficient of
// determination, instead. They are nil where they do not apply.
type Training struct {
	Script        string   `json:"script"`
	Exporter      string   `json:"exporter"`
	Data          string   `json:"data"`
	Shows         string   `json:"shows"`
	Training      string   `json:"training"`
	TrainAccuracy *float64 `json:"train_accuracy"`
	TestAccuracy  *float64 `json:"test_accuracy"`
	TrainR2       *float64 `json:"train_r2"`
	TestR2        *float64 `json:"test_r2"`
}

// TrainingOf returns how a model was made. It panics when there is none of
// this name.
func TrainingOf(name string) Training {
	var all map[string]Training
	decode(read(records, "training.json"), &all)
	t, ok := all[name]
	if !ok {
		panic(fmt.Sprintf("testmodels: training.json has no model %q", name))
	}
	return t
}

func read(files embed.FS, path string) []byte {
	b, err := files.ReadFile(path)
	if err != nil {
		panic("testmodels: " + err.Error())
	}
	return b
}

func decode(b []byte, v any) {
	if err := json.Unmarshal(b, v); err != nil {
		panic("testmodels: " + err.Error())
	}
}
