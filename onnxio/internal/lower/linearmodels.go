package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// inAttribute is why the weights of ai.onnx.ml's linear models cannot be written.
const inAttribute = "it is an attribute of its operator"

// linearScores multiplies the operand by the coefficients of so many rows, and adds the
// intercepts.
func (o *op) linearScores(rows int) (*value, error) {
	v, err := o.need(0)
	if err != nil {
		return nil, err
	}
	if v.constant() {
		return nil, refusal.New("fold constants before export", "it maps a constant")
	}
	if !tensor.IsFloat(v.elem) {
		return nil, refusal.New("cast to float before it", "it maps integers")
	}
	a := o.attr("coefficients")
	if a == nil || len(v.shape) != 2 || v.shape[1] == tensor.BatchDim || rows < 1 || len(a.Floats) != rows*v.shape[1] {
		return nil, refusal.New("", "coefficients that do not fit a value of shape %s and %d rows", tensor.DimString(v.shape), rows)
	}
	w := make([]float64, len(a.Floats)) // columns x rows
	for i, x := range a.Floats {
		w[i%v.shape[1]*rows+i/v.shape[1]] = float64(x)
	}
	t := tensor.NewFloats(dag.Float32, []int{v.shape[1], rows}, w)
	t.Pinned = inAttribute
	out, err := o.matMulBy(v, t, false)
	if err != nil {
		return nil, err
	}
	if a := o.attr("intercepts"); a != nil && len(a.Floats) > 0 {
		if len(a.Floats) != rows {
			return nil, refusal.New("", "%d intercepts of %d rows", len(a.Floats), rows)
		}
		t := tensor.NewFloats(dag.Float32, []int{rows}, lists.Convert[float64](a.Floats))
		t.Pinned = inAttribute
		if out, err = o.affine(out, affine{add: t, addAt: -1, coef: 1, addCoef: 1}); err != nil {
			return nil, err
		}
	}
	out.elem = wire.Float32
	return out, nil
}

// opposite reports whether the second of two rows is the first with other signs, as
// exporters write a model of two classes.
func (o *op) opposite() bool {
	for _, name := range []string{"coefficients", "intercepts"} {
		a := o.attr(name)
		if a == nil {
			continue
		}
		first, second := a.Floats[:len(a.Floats)/2], a.Floats[len(a.Floats)/2:]
		if !slices.EqualFunc(first, second, func(x, y float32) bool { return x == -y }) {
			return false
		}
	}
	return true
}

// transformed applies what the attribute post_transform says.
func (o *op) transformed(v *value, kind string) (*value, error) {
	switch kind {
	case "NONE":
		return v, nil
	case "LOGISTIC":
		return o.inner(lowerSigmoid, "Sigmoid", []*value{v}, []int{-1})
	case "SOFTMAX":
		n := v.shape[1]
		return o.as(dag.Normalizer, o.function("it is a ratio of exponentials", v.elem, v.shape, func(dst []float64, in ...[]float64) {
			copy(dst, in[0])
			for at := 0; at+n <= len(dst); at += n {
				softmax(dst[at : at+n])
			}
		}, v)), nil
	default:
		return nil, refusal.New("export without it", "its post_transform is %s", kind)
	}
}

func lowerLinearRegressor(o *op) error {
	out, err := o.linearScores(int(max(o.int("targets", 1), 1)))
	if err != nil {
		return err
	}
	return o.gives(o.transformed(out, o.str("post_transform", "NONE")))
}

// lowerLinearClassifier gives the label of the largest score, and the scores.
func lowerLinearClassifier(o *op) error {
	ints, words := o.attr("classlabels_ints"), o.attr("classlabels_strings")
	n := 0
	switch {
	case ints != nil:
		n = len(ints.Ints)
	case words != nil:
		n = len(words.Strings)
	}
	if a, b := o.attr("intercepts"), n; n == 2 && a != nil && len(a.Floats) == 1 {
		return refusal.New("export with a row of coefficients for each class", "%d classes of one score", b)
	}
	scores, err := o.linearScores(n)
	if err != nil {
		return err
	}
	kind := o.str("post_transform", "NONE")
	if n == 2 && kind == "LOGISTIC" && o.opposite() {
		// The sigmoids of s and -s are the softmax of half of them: those are the logits.
		if scores, err = o.affine(scores, affine{coef: 0.5, addCoef: 1}); err != nil {
			return err
		}
		kind = "SOFTMAX"
	}
	out, err := o.transformed(scores, kind)
	if err != nil {
		return err
	}
	o.give(1, out)
	if ints == nil {
		o.give(0, &value{opaque: "it holds strings", node: -1})
		return nil
	}
	labels := slices.Clone(ints.Ints)
	o.give(0, o.function("it is the place of the largest", wire.Int64, scores.shape[:1], func(dst []float64, in ...[]float64) {
		for i := range dst {
			best, at := math.Inf(-1), 0
			for k, x := range in[0][i*n : (i+1)*n] {
				if x > best {
					best, at = x, k
				}
			}
			dst[i] = float64(labels[at])
		}
	}, scores))
	return nil
}
