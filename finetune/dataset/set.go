package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// Set is a number of labelled examples: a classification task has class labels
// 0..Classes()-1, a regression task rows of targets. It is immutable and safe
// for concurrent use. Load makes one.
type Set struct {
	table
	rows  []int // row of x of each example; nil: they are the same
	size  int
	given bool // names were given, not found in the file
	told  bool // the task was named, not found by the labels
	norm  normaliser
	// bytes holds the normalised value of every byte, channel after channel;
	// nil where values are not bytes or the channels are too many.
	bytes []float64
}

// maxTables is how many channels get a table of byte values: the tables, 2 kB a
// channel, have to stay in the cache.
const maxTables = 16

// newSet takes over the table's memory.
func newSet(t *table, norm normaliser) *Set {
	s := &Set{table: *t, size: 1, norm: norm}
	for _, d := range t.shape {
		s.size *= d
	}
	if s.x.u8 == nil || len(norm.mean) > maxTables {
		return s
	}
	for c := range norm.mean {
		for v := range 256 {
			s.bytes = append(s.bytes, norm.value(float64(v), c))
		}
	}
	return s
}

// Name says which data these are, for reports: "mnist test".
func (s *Set) Name() string { return s.name }

// Split is the part of the data that was read; empty where the format has none.
func (s *Set) Split() Split { return s.split }

// Len is the number of examples N.
func (s *Set) Len() int { return s.n }

// Shape is the shape of one example, channels first for images (unless the
// spec transposes): [1 28 28] for MNIST, [4] for a csv file of four features.
func (s *Set) Shape() []int { return slices.Clone(s.shape) }

// Size is the number of values of one example, the product of Shape.
func (s *Set) Size() int { return s.size }

// Task says whether the examples have class labels or targets.
func (s *Set) Task() Task {
	if s.width > 0 {
		return Regression
	}
	return Classification
}

// TaskGiven says that the task was named, by the spec or by the options of Load, or
// follows from the classes, and was not found by what the labels look like.
func (s *Set) TaskGiven() bool { return s.told }

// Classes is the number of classes: what the format prescribes, or the largest
// label plus one; 0 for regression.
func (s *Set) Classes() int { return s.classes }

// ClassNames are the names of the classes in the order of their numbers: those
// of WithClasses, else the texts in the file, sorted; nil where the labels are
// whole numbers as they stand.
func (s *Set) ClassNames() []string { return slices.Clone(s.names) }

// Unlisted is the error of labels that are some only if a list of classes has them, as
// the integers -1 and 1, or texts of which some are numbers: no task is named, and
// WithClasses has not been called. Task is Regression for such integers until then. Nil for
// other sets.
func (s *Set) Unlisted() error { return s.unlisted }

// ClassesGiven says that the order of the classes was given, by the spec or by
// WithClasses.
func (s *Set) ClassesGiven() bool { return s.given }

// Labels are the class labels by example; nil for regression. The caller must
// not modify the slice.
func (s *Set) Labels() []int { return s.labels }

// Targets are the regression targets, TargetSize() numbers an example; nil for
// classification. The caller must not modify the slice.
func (s *Set) Targets() []float64 { return s.targets }

// TargetSize is the number of targets of an example; 0 for classification.
func (s *Set) TargetSize() int { return s.width }

// Target is the row of targets of example i. The caller must not modify it. It
// panics for classification.
func (s *Set) Target(i int) []float64 {
	if s.width == 0 {
		panic("dataset: a classification set has no targets")
	}
	return s.targets[i*s.width : (i+1)*s.width : (i+1)*s.width]
}

// Batch32 writes the examples named by order, row after row, as
// (scale*value - mean) / std into dst, rounded once to single precision. It
// allocates nothing and panics if dst is shorter than len(order)*Size() or an
// index is not in 0..Len()-1.
func (s *Set) Batch32(dst []float32, order []int) { batch(s, dst, order) }

// Batch64 is Batch32 in double precision.
func (s *Set) Batch64(dst []float64, order []int) { batch(s, dst, order) }

func batch[T float32 | float64](s *Set, dst []T, order []int) {
	if len(dst) < len(order)*s.size {
		panic(fmt.Sprintf("dataset: a batch of %s of %s does not fit into %d", words.Count(len(order), "example"), words.Count(s.size, "value"), len(dst)))
	}
	for k, i := range order {
		if i < 0 || i >= s.n {
			panic(fmt.Sprintf("dataset: example %d of %d", i, s.n))
		}
		if s.rows != nil {
			i = s.rows[i]
		}
		row := dst[k*s.size : (k+1)*s.size]
		from, to := i*s.size, (i+1)*s.size
		switch {
		case s.bytes != nil:
			lookUp(row, s.x.u8[from:to], s.bytes, s.norm.inner)
		case s.x.u8 != nil:
			normalise(row, s.x.u8[from:to], &s.norm)
		case s.x.f32 != nil:
			normalise(row, s.x.f32[from:to], &s.norm)
		default:
			normalise(row, s.x.f64[from:to], &s.norm)
		}
	}
}

// lookUp replaces bytes by table entries. The channel changes every inner
// values: from value to value, or from plane to plane, each of them once.
func lookUp[T float32 | float64](dst []T, src []uint8, table []float64, inner int) {
	if len(table) == 256 {
		inner = len(src)
	}
	c := 0
	if inner == 1 {
		for j, v := range src {
			dst[j] = T(table[c+int(v)])
			if c += 256; c == len(table) {
				c = 0
			}
		}
		return
	}
	for ; len(src) > 0; c += 256 {
		one := (*[256]float64)(table[c:])
		out := dst[:inner]
		for j, v := range src[:inner] {
			out[j] = T(one[v])
		}
		src, dst = src[inner:], dst[inner:]
	}
}

func normalise[T, S float32 | float64 | uint8](dst []T, src []S, n *normaliser) {
	if n.identity() {
		for j, v := range src {
			dst[j] = T(v)
		}
		return
	}
	channels := len(n.mean)
	for c, j := 0, 0; j < len(src); c++ {
		if c == channels {
			c = 0
		}
		for end := j + n.inner; j < end; j++ {
			dst[j] = T(n.value(float64(src[j]), c))
		}
	}
}

// Subset is the examples named by index, in that order; an example may come
// twice. Values are shared with s, labels are copied. It panics if an index is
// not in 0..Len()-1.
func (s *Set) Subset(index []int) *Set {
	sub := *s
	sub.n = len(index)
	sub.rows = make([]int, len(index))
	sub.labels, sub.targets = nil, nil
	for k, i := range index {
		if i < 0 || i >= s.n {
			panic(fmt.Sprintf("dataset: example %d of %d", i, s.n))
		}
		sub.rows[k] = i
		if s.rows != nil {
			sub.rows[k] = s.rows[i]
		}
		if s.width > 0 {
			sub.targets = append(sub.targets, s.Target(i)...)
		} else {
			sub.labels = append(sub.labels, s.labels[i])
		}
	}
	return &sub
}

// Order is a permutation of the examples, the same on every platform for the
// same Len, seed and epoch: a Fisher-Yates shuffle from the last place down,
// place i exchanged with floor(u*(i+1) / 2^64), where u is the next 64-bit
// output of the generator PCG-DXSM with state (seed, epoch). Epochs of one seed
// are independent of each other, so training can resume at any of them.
func (s *Set) Order(seed uint64, epoch int) []int {
	order := make([]int, s.n)
	for i := range order {
		order[i] = i
	}
	pcg := rand.NewPCG(seed, uint64(epoch))
	for i := s.n - 1; i > 0; i-- {
		j, _ := bits.Mul64(pcg.Uint64(), uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// Digest identifies the examples by content: the SHA-256, in hexadecimal, of
// every value, label and target in their order, of the shape and of the
// normalisation. The name does not count.
func (s *Set) Digest() string {
	h := sha256.New()
	fmt.Fprintln(h, s.n, s.shape, s.classes, s.width, s.norm)
	var b []byte
	add := func(numbers any) {
		b, _ = binary.Append(b[:0], binary.LittleEndian, numbers) // no error: they have a size
		h.Write(b)
	}
	for i := range s.n {
		if s.rows != nil {
			i = s.rows[i]
		}
		from, to := i*s.size, (i+1)*s.size
		switch {
		case s.x.u8 != nil:
			h.Write(s.x.u8[from:to])
		case s.x.f32 != nil:
			add(s.x.f32[from:to])
		default:
			add(s.x.f64[from:to])
		}
	}
	add(lists.Convert[int64](s.labels))
	add(s.targets)
	return hex.EncodeToString(h.Sum(nil))
}
