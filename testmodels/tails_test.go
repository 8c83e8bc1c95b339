package testmodels_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/testmodels"
)

// The tails of spectra are weightwatcher's, of every layer that it analyses:
// scripts/tails.py --record.
func TestTails(t *testing.T) {
	data, err := os.ReadFile("tails.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Models map[string]map[string]map[string]float64
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, name := range testmodels.Names() {
		layers := want.Models[name+".onnx"]
		rep, err := analysis.Measures(context.Background(), open(t, name).Net, analysis.Options{Names: []string{"tails"}, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]map[string]analysis.Measure{}
		for _, l := range rep.Layers {
			found[l.Name] = map[string]analysis.Measure{}
			for _, m := range l.Measures {
				found[l.Name][m.Name] = m
			}
		}
		for layer, columns := range layers {
			for column, w := range columns {
				m := found[layer][column]
				// weightwatcher rounds weights to float32: 1e-8 and what D makes of it.
				if g := m.Value.Float64(); !m.Defined || !(math.Abs(g-w) <= 1e-6*math.Abs(w)) {
					t.Errorf("%s, %s: %s is %v (%s), weightwatcher has %v", name, layer, column, g, m.Reason, w)
				}
				compared++
			}
			delete(found, layer)
		}
		for layer, ms := range found {
			if ms["alpha"].Defined {
				t.Errorf("%s, %s has alpha, weightwatcher none", name, layer)
			}
		}
	}
	if compared < 300 {
		t.Errorf("only %d numbers compared", compared)
	}
}
