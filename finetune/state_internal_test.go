package finetune

import "testing"

// TestStateOutsideTheRun: a checkpoint whose sum is right may still hold a position
// that no run has.
func TestStateOutsideTheRun(t *testing.T) {
	const examples = 10
	for _, c := range []struct {
		s    state
		want bool
	}{
		{state{}, true},
		{state{Epoch: 1, At: 10, BestEpoch: 1, History: make([]Epoch, 1)}, true},
		{state{At: -1}, false},
		{state{At: 11}, false},
		{state{Epoch: -1}, false},
		{state{Epoch: 2, History: make([]Epoch, 1)}, false},
		{state{Epoch: 1, BestEpoch: 2, History: make([]Epoch, 1)}, false},
		{state{BestEpoch: -1}, false},
	} {
		if got := c.s.valid(examples); got != c.want {
			t.Errorf("%+v: valid %v", c.s, got)
		}
	}
}
