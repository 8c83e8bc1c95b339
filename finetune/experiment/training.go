package experiment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/words"
)

// Start is the network that a training begins with.
type Start struct {
	// Widths are those of a fresh network, empty for a given one.
	Widths []int `json:"widths,omitempty"`
	// Type is the type of a fresh network's weights. Default: float32.
	Type string `json:"type,omitempty"`
	// Model is the digest of a given network.
	Model string `json:"model,omitempty"`
	// Rescale are the rescalings applied to it, in order: methods of package
	// rescale, or Random and RandomPowers.
	Rescale []rescale.Method `json:"rescale,omitempty"`
	// Seed determines fresh weights and random rescalings.
	Seed uint64 `json:"seed"`

	net *dag.Network
}

// Training describes one training completely. Numbers have the meaning of
// finetune.Options; those left out have its defaults.
type Training struct {
	// Data and Test name the examples, with a digest.
	Data         string             `json:"data"`
	Test         string             `json:"test,omitempty"`
	Start        Start              `json:"start"`
	Optimizer    finetune.Optimizer `json:"optimizer"`
	P            float64            `json:"p,omitempty"`
	Rate         float64            `json:"rate"`
	RateDecay    float64            `json:"rate_decay,omitempty"`
	Normalize    finetune.Normalize `json:"normalize,omitempty"`
	Momentum     float64            `json:"momentum,omitempty"`
	MomentumRise float64            `json:"momentum_rise,omitempty"`
	MomentumMax  float64            `json:"momentum_max,omitempty"`
	Dropout      float64            `json:"dropout,omitempty"`
	Loss         finetune.Loss      `json:"loss_name"`
	Margin       float64            `json:"margin,omitempty"`
	Batch        int                `json:"batch"`
	Epochs       int                `json:"epochs,omitempty"`
	// Steps ends the training early and asks for the loss of every step.
	Steps int    `json:"steps,omitempty"`
	Seed  uint64 `json:"seed"`
	// Measures are taken of the trained network: names of the analysis registry.
	Measures []string `json:"measures,omitempty"`
}

// Record is what is kept of a finished training.
type Record struct {
	Training Training         `json:"training"`
	Initial  finetune.Epoch   `json:"initial"`
	Epochs   []finetune.Epoch `json:"epochs"`
	// Losses has the loss of each step's batch before the step, where
	// Training.Steps asks for it.
	Losses []float64 `json:"losses,omitempty"`
	// Stopped says why the training ended before its time; empty where it did
	// not.
	Stopped string `json:"stopped,omitempty"`
	// Measures has decimal logarithms, by the measures' names and orders.
	Measures map[string]float64 `json:"measures_log10,omitempty"`
	// Engine names what computed. Seconds are those of the steps.
	Engine  string  `json:"engine"`
	Seconds float64 `json:"seconds"`
}

// key is the stem of the record's file.
func (t *Training) key() string {
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // the numbers of a Training are finite: options are checked
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// cost orders trainings by the work they make: the number of weights times
// that of steps, roughly.
func (t *Training) cost() float64 {
	weights := 1.0
	for k := 1; k < len(t.Start.Widths); k++ {
		weights += float64(t.Start.Widths[k-1]) * float64(t.Start.Widths[k])
	}
	return weights * float64(max(t.Epochs, 1))
}

// options are those of the trainer; the checkpoint, the threads and the test
// data are the lab's business.
func (t *Training) options() finetune.Options {
	return finetune.Options{
		Optimizer: t.Optimizer, P: t.P, Rate: t.Rate, RateDecay: t.RateDecay, Normalize: t.Normalize,
		Momentum: t.Momentum, MomentumRise: t.MomentumRise, MomentumMax: t.MomentumMax, Dropout: t.Dropout,
		Loss: t.Loss, Margin: t.Margin, Batch: t.Batch, Epochs: t.Epochs, Seed: t.Seed, EvalTrain: true,
	}
}

// Rescalings that only experiments need.
const (
	// Random multiplies the factor of every free unit by e^N(0, 4).
	Random rescale.Method = "random"
	// RandomPowers multiplies it by 2^k, k even on -10..10.
	RandomPowers rescale.Method = "random-powers"
)

// network makes the network of a start.
func (s *Start) network(ctx context.Context) (*dag.Network, error) {
	net := s.net
	if net == nil {
		opt := finetune.FreshOptions{Seed: s.Seed, Type: dag.Float32}
		if s.Type == dag.Float64.String() {
			opt.Type = dag.Float64
		}
		var err error
		if net, err = finetune.Fresh(ctx, s.Widths, opt); err != nil {
			return nil, err
		}
	}
	for _, m := range s.Rescale {
		var err error
		if net, err = rescaled(ctx, net, m, s.Seed); err != nil {
			return nil, fmt.Errorf("experiment: rescaling by %s: %w", m, err)
		}
	}
	return net, nil
}

// digest names a data set by content.
func digest(s *dataset.Set) string {
	return fmt.Sprintf("%s, %s, %.12s", s.Name(), words.Count(s.Len(), "example"), s.Digest())
}

// digestNetwork names a network by its layers and numbers.
func digestNetwork(n *dag.Network) string {
	h := sha256.New()
	fmt.Fprintln(h, n)
	var b []byte
	for _, p := range n.Params() {
		for lo := 0; lo < p.Len(); lo += 1 << 13 {
			b = p.AppendRaw(b[:0], lo, min(lo+1<<13, p.Len()))
			h.Write(b)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
