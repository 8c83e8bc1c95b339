package words

import "testing"

func TestCount(t *testing.T) {
	for _, c := range []struct {
		n         int
		one, want string
	}{
		{0, "input", "0 inputs"},
		{1, "input", "1 input"},
		{2, "input", "2 inputs"},
		{1, "class", "1 class"},
		{3, "class", "3 classes"},
		{1, "axis", "1 axis"},
		{4, "axis", "4 axes"},
		{2, "index", "2 indices"},
		{2, "entry", "2 entries"},
		{1, "more measure", "1 more measure"},
		{2, "more measure", "2 more measures"},
	} {
		if got := Count(c.n, c.one); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if Of(1, "is") != "is" || Of(2, "is") != "are" {
		t.Error("verbs")
	}
}

func TestSome(t *testing.T) {
	names := []string{"a", "b", "c"}
	for i, want := range []string{"a and 2 more", "a, b and 1 more", "a, b, c", "a, b, c"} {
		if got := Some(names, i+1); got != want {
			t.Errorf("%d of three: %q, want %q", i+1, got, want)
		}
	}
}
