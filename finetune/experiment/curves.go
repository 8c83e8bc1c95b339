package experiment

import (
	"cmp"
	"math"
	"slices"

	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/internal/lists"
)

// quantity reads one number from a line of the log; NaN where there is none.
type quantity func(e *finetune.Epoch) float64

func orNaN(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}

func percent(x *float64) float64 { return 100 * orNaN(x) }

func trainLoss(e *finetune.Epoch) float64  { return orNaN(cmp.Or(e.TrainFullLoss, e.TrainLoss)) }
func trainError(e *finetune.Epoch) float64 { return percent(e.TrainError) }
func testError(e *finetune.Epoch) float64  { return percent(e.TestError) }

// objective is what a training minimises, at its end; +Inf where it diverged or
// there is no number. A setting is chosen by the smallest.
func objective(r *Record) float64 {
	v := last(r, func(e *finetune.Epoch) float64 { return orNaN(e.TrainLoss) })
	if r.Stopped != "" || math.IsNaN(v) {
		return math.Inf(1)
	}
	return v
}

// last is a quantity after the last epoch, lowest the smallest of any epoch.
func last(r *Record, q quantity) float64 {
	if len(r.Epochs) == 0 {
		return math.NaN()
	}
	return q(&r.Epochs[len(r.Epochs)-1])
}

func lowest(r *Record, q quantity) float64 {
	low := math.Inf(1)
	for i := range r.Epochs {
		low = math.Min(low, q(&r.Epochs[i]))
	}
	return low
}

// Summary is a quantity over seeds.
type Summary struct{ Mean, Min, Max float64 }

// summarise returns mean, smallest and largest value; NaN for none, or where
// one is NaN.
func summarise(x []float64) Summary {
	s := Summary{math.NaN(), math.NaN(), math.NaN()}
	for i, v := range x {
		if i == 0 {
			s = Summary{0, v, v}
		}
		s.Mean += v / float64(len(x))
		s.Min, s.Max = math.Min(s.Min, v), math.Max(s.Max, v)
	}
	return s
}

// over summarises f over records.
func over(records []*Record, f func(r *Record) float64) Summary {
	return summarise(lists.Map(records, f))
}

// final is over in the last epoch.
func final(records []*Record, q quantity) Summary {
	return over(records, func(r *Record) float64 { return last(r, q) })
}

// byEpoch makes a curve of a quantity over the epochs that all records have.
func byEpoch(records []*Record, key int, q quantity) Curve {
	c := Curve{Key: key}
	for k := range shortest(records) {
		s := over(records, func(r *Record) float64 { return q(&r.Epochs[k]) })
		c.X = append(c.X, float64(records[0].Epochs[k].Epoch))
		c.add(s)
	}
	return c
}

func (c *Curve) add(s Summary) {
	c.Y, c.Lo, c.Hi = append(c.Y, s.Mean), append(c.Lo, s.Min), append(c.Hi, s.Max)
}

// byTime is byEpoch against the time of the steps so far.
func byTime(records []*Record, key int, q quantity) Curve {
	c := byEpoch(records, key, q)
	sum := 0.0
	for k := range c.X {
		sum += over(records, func(r *Record) float64 { return r.Epochs[k].Seconds }).Mean
		c.X[k] = sum
	}
	return c
}

// shortest is the number of epochs that every record has.
func shortest(records []*Record) int {
	if len(records) == 0 {
		return 0
	}
	return slices.Min(lists.Map(records, func(r *Record) int { return len(r.Epochs) }))
}
