package lists_test

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/internal/lists"
)

func TestLists(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"map", lists.Map([]int{3, 1}, strconv.Itoa), []string{"3", "1"}},
		{"map of none is an empty list in JSON", lists.Map(nil, strconv.Itoa), []string{}},
		{"convert", lists.Convert[int32]([]float64{1.9, -1.9}), []int32{1, -1}}, // towards zero, as Go has it
		{"count", lists.Count(int64(2), 3), []int64{2, 3, 4}},
		{"count none", lists.Count(5, 0), []int{}},
		{"longer", lists.Longer([]int{1}, 2), []int{0, 0}},
		{"long enough", lists.Longer([]int{1, 2}, 1), []int{1, 2}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
