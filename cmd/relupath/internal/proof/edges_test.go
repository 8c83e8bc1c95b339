package proof

import "testing"

// TestEdgesAreLinear counts the numbers of the samples of networks with many
// inputs: they follow the number of inputs.
func TestEdgesAreLinear(t *testing.T) {
	for _, n := range []int{1, oneHots, 1000, 4000} {
		sizes := make([]int, n)
		for k := range sizes {
			sizes[k] = 2
		}
		samples := edges(sizes)
		// Ones, minus ones and both elements of the inputs chosen.
		if want := 2 + 2*min(n, oneHots); len(samples) != want {
			t.Fatalf("%d inputs: %d samples, want %d", n, len(samples), want)
		}
		hot := map[int]bool{}
		for _, s := range samples[2:] {
			sum := 0.0
			for k, x := range s() {
				for _, v := range x {
					sum += v
					if v != 0 {
						hot[k] = true
					}
				}
			}
			if sum != 1 {
				t.Fatalf("%d inputs: a one-hot sample sums to %g", n, sum)
			}
		}
		if len(hot) != min(n, oneHots) {
			t.Errorf("%d inputs: %d of them are ever hot", n, len(hot))
		}
	}
}
