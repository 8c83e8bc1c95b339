package experiment

import (
	"testing"

	"github.com/relupath/relupath/internal/words"
)

// TestWords: what tables and captions say of one and of several.
func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		meansOver(1): "one seed", meansOver(3): "means over 3 seeds",
		rangesOf(1): "One seed", rangesOf(3): "Means and ranges of 3 seeds",
		passes(1): "1 epoch", passes(20): "20 epochs", words.Count(1, "seed"): "1 seed",
		change(0.75): "25.0 % less", change(1.25): "25.0 % more", change(1): "0.0 % less",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
