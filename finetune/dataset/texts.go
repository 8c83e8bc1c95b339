package dataset

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// texts are labels as a file writes them. Labels repeat, so each text is kept once.
type texts struct {
	file string
	unit string // what seen counts: lines or records
	list []string
	seen []int // where each text occurs first
	// ids has the place in list of each label that is kept.
	ids   []int
	known map[string]int
	// taken is what list takes, in bytes.
	taken int64
}

// labelSize is what is kept of a label beside its text, in bytes.
const labelSize = 64

func newTexts(file, unit string) *texts {
	return &texts{file: file, unit: unit, known: map[string]int{}}
}

// add takes a label. Of one that is not kept it notes the text alone.
func (l *texts) add(text string, at int, keep bool) {
	id, ok := l.known[text]
	if !ok {
		text = strings.Clone(text)
		id = len(l.list)
		l.known[text] = id
		l.list, l.seen = append(l.list, text), append(l.seen, at)
		l.taken += int64(len(text)) + labelSize
	}
	if keep {
		l.ids = append(l.ids, id)
	}
}

// number turns the labels into class labels or targets of t; hint is a remedy for a text
// among numbers that the format has beside the others.
func (l *texts) number(t *table, task Task, hint string) error {
	values := make([]float64, len(l.list))
	numeric, whole := 0, 0
	odd := -1 // the first text that is no number
	for k, text := range l.list {
		v, ok := parseNumber(text)
		values[k] = v
		switch {
		case ok:
			numeric++
			if isClass(v) && v < maxClasses {
				whole++
			}
		case odd < 0:
			odd = k
		}
	}
	all := len(l.list)
	mixed := odd >= 0 && numeric > 0
	switch {
	case task == Regression && odd >= 0:
		return l.noNumber(odd, hint)
	case task == "" && mixed:
		// Names or a mistake: a list of classes that comes later may have them.
		t.unlisted = l.noNumber(odd, hint)
	case task == Regression, task == "" && whole < all && numeric == all:
		t.width = 1
		t.targets = lists.Map(l.ids, func(id int) float64 { return values[id] })
		return nil
	}
	class := make([]int, all)
	if whole == all {
		for k, v := range values {
			class[k] = int(v)
			t.classes = max(t.classes, int(v)+1)
		}
	} else {
		l.name(t, class, values, numeric == all)
	}
	t.labels = lists.Map(l.ids, func(id int) int { return class[id] })
	return nil
}

// noNumber is the error for the text of a place in the list among numbers.
func (l *texts) noNumber(odd int, hint string) error {
	return wrong(l.file, fmt.Sprintf("%s %d", l.unit, l.seen[odd]), fmt.Sprintf("label %q is not a number", l.list[odd]),
		pointsOr("correct it; add "+hint+"task=class if the labels are names", l.list[odd]))
}

// name numbers the texts in sorted order. Numbers are compared by value, so that
// 1 and 1.0 are one class.
func (l *texts) name(t *table, class []int, values []float64, numeric bool) {
	list := slices.Clone(l.list)
	if numeric {
		for k, v := range values {
			list[k] = formatList([]float64{v})
		}
	}
	t.names = slices.Clone(list)
	slices.SortFunc(t.names, func(a, b string) int {
		if numeric {
			x, _ := parseNumber(a) // formatList wrote them
			y, _ := parseNumber(b)
			return cmp.Compare(x, y)
		}
		return strings.Compare(a, b)
	})
	t.names = slices.Compact(t.names)
	t.classes = len(t.names)
	place := map[string]int{}
	for i, name := range t.names {
		place[name] = i
	}
	for k, text := range list {
		class[k] = place[text]
	}
}

// textSize returns the bytes of an element of a NumPy type of texts, U9 (code points of
// four bytes) or S9 (bytes), and 0 for other types and those without room for a text.
func textSize(name string) (size int64, runes bool) {
	if name == "" || name[0] != 'U' && name[0] != 'S' {
		return 0, false
	}
	n, err := strconv.ParseInt(name[1:], 10, 32)
	if err != nil || n < 1 {
		return 0, false
	}
	if name[0] == 'U' {
		return 4 * n, true
	}
	return n, false
}

// severalTexts is the error for an array of more than one label an example.
func severalTexts(file string, shape []int, width int) error {
	return wrong(file, "", fmt.Sprintf("shape %v holds %s an example, want one class label", shape, words.Count(width, "text")), "give one label an example")
}

// loadTexts reads one label an example, as load reads numbers.
func (a *array) loadTexts(s *source, size int64, runes bool, what string) error {
	n, ok := product(a.shape)
	if !ok || n > math.MaxInt64/size {
		return impossible(s.name, a.shape)
	}
	if err := s.need(n*size, what); err != nil {
		return err
	}
	kept := n
	if len(a.shape) > 0 {
		a.all = a.shape[0]
		if a.all > 1 && n != int64(a.all) {
			return severalTexts(s.name, a.shape, int(n/int64(a.all)))
		}
		if s.limit > 0 && s.limit < a.all {
			a.shape[0], kept = s.limit, int64(s.limit)
			if !s.labels {
				n = kept
			}
		}
	}
	a.texts = newTexts(s.name, "record")
	piece := max(1, labelPiece/size)
	for done := int64(0); done < n; {
		data, err := s.read(min(n-done, piece)*size, what)
		if err != nil {
			return err
		}
		for b := range slices.Chunk(data, int(size)) {
			text, ok := a.text(b, runes)
			if !ok {
				return wrong(s.name, record(int(done)), "the label is empty, or no text", "leave the example out, or write the array with numpy.save")
			}
			a.texts.add(text, int(done), done < kept)
			done++
		}
		if taken, share := a.texts.taken+8*min(done, kept), memoryShare(); taken > share {
			return tooMuch(s.name, fmt.Sprintf("the first %d labels take %s", done, words.Count(taken, "byte")), share)
		}
	}
	if n < int64(a.all) {
		return nil
	}
	return s.end(what)
}

// text decodes an element without the zeros that fill it up and the spaces around it. ok is
// false where nothing is left and for what is no code point.
func (a *array) text(b []byte, runes bool) (text string, ok bool) {
	if runes {
		out := make([]byte, 0, len(b))
		for ; len(b) > 0; b = b[4:] {
			r := a.order.Uint32(b)
			if r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
				return "", false
			}
			out = utf8.AppendRune(out, rune(r))
		}
		b = out
	}
	text = strings.TrimSpace(string(bytes.TrimRight(b, "\x00")))
	return text, text != ""
}
