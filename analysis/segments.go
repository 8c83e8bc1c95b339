package analysis

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// apart says why a network is not positively homogeneous as a whole: the first
// functions between its layers. It is empty for one that is.
func apart(n *dag.Network) string {
	between := n.Functions()
	if len(between) == 0 {
		return ""
	}
	names := lists.Map(between, func(i int) string { return n.Nodes[i].Label() })
	return "functions stand between its layers: " + words.Some(names, 3)
}

// segments measures the parts of a network that is not homogeneous as a whole.
func (r *run) segments(chosen []*entry) []Segment {
	if r.apart == "" || r.opt.Open != "" || r.opt.Uncounted {
		return nil
	}
	var orders []float64
	var norm *entry
	for _, e := range chosen {
		if e.Name == "path_norm" {
			norm, orders = e, r.opt.P
		}
	}
	name := func(nodes []int) []string {
		out := []string{}
		for _, i := range nodes {
			out = append(out, r.net.Nodes[i].Ref())
		}
		return out
	}
	var out []Segment
	segments := r.net.Segments()
	counts := paths.CountSegments(r.net, segments, r.opt.Bias)
	for k, s := range segments {
		g := Segment{
			Starts: name(s.Starts), Ends: name(s.Ends), Layers: name(s.Layers),
			Paths: counts[k],
		}
		for _, p := range orders {
			g.Measures = append(g.Measures, Measure{P: order(p), Value: r.forward.SegmentNorm(r.path(p), &s)})
		}
		if norm != nil {
			g.Measures = r.finish(norm, g.Measures)
		}
		out = append(out, g)
	}
	return out
}

// capped notes the caps of the network, whose path norms are those of one without
// bounds.
func (r *run) capped() {
	caps, first := 0, ""
	for nd := range body[*dag.Cap](r.net) {
		if caps++; first == "" {
			first = nd.Label()
		}
	}
	if caps > 0 {
		r.note("%d bounded activations, the first %s: path norms take each with its slope, 1", caps, first)
	}
}

// missing has the entries of a measure of the whole, without values.
func (r *run) missing(e *entry) []Measure {
	ms := []Measure{{}}
	if e.orders {
		ms = nil
		for _, p := range r.opt.P {
			ms = append(ms, Measure{P: order(p)})
		}
	}
	for i := range ms {
		ms[i].Value, ms[i].Reason = scaled.New(math.NaN()), r.apart
	}
	return ms
}
