package rescale

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/internal/lists"
)

// match finds the order of b's units, as a map from groups of a to groups of a
// at whose places b has them.
//
// A unit's norm is the 2-norm of its incoming weights, each times the norm of the
// unit that it comes from (1 for inputs and biases), so that rescaling multiplies
// it by the unit's factor. Projections of these products on random vectors,
// divided by the norm, are the unit's key, which rescaling leaves alone. Units of a and b with equal
// keys correspond; several units of one key form a class, whose members look the
// same to what comes before. Columns of one class share their random numbers
// until its members are told apart, so that later keys do not depend on the order
// within it. A second walk, from the outputs back, tells the members of each
// class apart by their outgoing weights, to rows already in order. Members that
// neither walk tells apart are interchangeable. Nothing is guessed: the caller
// compares every weight under the order found.
func (c *comparison) match() string {
	if why := c.sameSlots(); why != "" {
		return why
	}
	m := &matching{comparison: c, class: make([]int32, c.g.Count), ln: [2]map[int32]float64{{}, {}}}
	done := inPlace(c.a, c.g)
	for id := range m.class {
		m.class[id] = int32(id)
	}
	for _, p := range c.layers {
		var open []int32
		for _, id := range p.rows {
			if id != dag.NoGroup && !done[id] {
				done[id] = true
				open = append(open, id)
			}
		}
		if len(open) == 0 {
			continue
		}
		if why := m.rows(p, open); why != "" {
			return why
		}
		c.place()
	}
	m.apart()
	c.place()
	// What looks alike may be paired wrongly.
	c.lossy = c.lossy || len(m.classes) > 0
	return ""
}

// matching is the state of the walks.
type matching struct {
	*comparison
	// class is a number that groups of a share while nothing tells them apart.
	class []int32
	// classes lists those of several members, layer by layer in order of the walk.
	classes [][][]int32
	// ln has the logarithm of the norm of each group matched, in a and in b.
	ln [2]map[int32]float64
}

// keys is the number of random projections of a key.
const keys = 4

type key struct {
	id  int32
	x   [keys]float64
	len float64
	// exp is the power of two by which all terms were divided.
	exp int
	// lossy says that terms lost digits.
	lossy bool
}

// random returns number k of a random vector at a place.
func random(place ...int) [keys]float64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, p := range place {
		h = (h ^ uint64(p)) * 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	rng := rand.New(rand.NewPCG(h, 0))
	var out [keys]float64
	for k := range out {
		out[k] = rng.NormFloat64()
	}
	return out
}

// rows matches the open groups at a layer that has rows of theirs.
func (m *matching) rows(p *pair, open []int32) string {
	rho, back := m.randomColumns(p), m.inverse(p)
	shift := m.shift(p)
	weight := [2][]float64{m.columnNorms(p, 0, shift), m.columnNorms(p, 1, shift)}
	slope := m.slopeFeatures()
	ka, kb := make([]key, len(open)), make([]key, len(open))
	shared := p.reader()
	kernel.Parallel(len(open), m.threads, p.grain(), func(lo, hi int) {
		a, b := shared.a, shared.b
		for n := lo; n < hi; n++ {
			if m.ctx.Err() != nil {
				return
			}
			id := open[n]
			x, y := key{id: id}, key{id: id}
			for slot, row := range p.rowSlots[id] {
				first, w := a.row(int(row))
				m.project(&x, p, slot, first, w, biasAt(p.a, int(row)), shift, weight[0], rho, nil, p.leastA)
				first, w = b.row(int(row))
				m.project(&y, p, slot, first, w, biasAt(p.b, int(row)), shift, weight[1], rho, back, p.leastB)
			}
			pinned := m.g.Pin[id] != ""
			x.finish(slope[0][id], pinned, shift)
			y.finish(slope[1][id], pinned, shift)
			ka[n], kb[n] = x, y
		}
	})
	if m.ctx.Err() != nil {
		return "interrupted"
	}
	for n := range ka {
		m.lossy = m.lossy || ka[n].lossy || kb[n].lossy
	}
	window := 8 * m.tol
	order := func(x, y key) int {
		if x.x[0] < y.x[0] {
			return -1
		}
		return 1
	}
	slices.SortStableFunc(ka, order)
	slices.SortStableFunc(kb, order)
	used := make([]bool, len(kb))
	lo := 0
	for _, a := range ka {
		for lo < len(kb) && kb[lo].x[0] < a.x[0]-window {
			lo++
		}
		best, dist := -1, math.Inf(1)
		for j := lo; j < len(kb) && kb[j].x[0] <= a.x[0]+window; j++ {
			if d := distance(&a, &kb[j]); !used[j] && d < dist {
				best, dist = j, d
			}
		}
		if best < 0 || dist > window {
			return m.unmatched(p, &a, kb, used)
		}
		used[best] = true
		m.sigma[a.id] = kb[best].id
		if m.g.Pin[a.id] != "" {
			continue
		}
		m.ln[0][a.id], m.ln[1][kb[best].id] = a.ln()+shift, kb[best].ln()+shift
		m.factor(a.id)
	}
	if classes := m.form(ka, window); classes != nil {
		m.classes = append(m.classes, classes)
	}
	return ""
}

// form joins groups of equal keys to classes and returns those of several members.
func (m *matching) form(ka []key, window float64) (classes [][]int32) {
	for i := range ka {
		if m.class[ka[i].id] != ka[i].id {
			continue
		}
		class := []int32{ka[i].id}
		for j := i + 1; j < len(ka) && ka[j].x[0] <= ka[i].x[0]+window; j++ {
			if m.class[ka[j].id] == ka[j].id && distance(&ka[i], &ka[j]) <= window {
				m.class[ka[j].id] = ka[i].id
				class = append(class, ka[j].id)
			}
		}
		if len(class) > 1 {
			classes = append(classes, class)
		}
	}
	return classes
}

// finish divides the projections by the length and adds the slope's number, and the length
// of a unit that has no factor.
func (k *key) finish(slope float64, pinned bool, shift float64) {
	k.len = math.Sqrt(k.len)
	for q := range k.x {
		if k.len > 0 {
			k.x[q] /= k.len
			if pinned {
				k.x[q] += (k.ln() + shift) * float64(keys-q)
			}
		}
		k.x[q] += slope * float64(q+1)
	}
}

// ln is the logarithm of the length.
func (k *key) ln() float64 { return math.Log(k.len) + float64(k.exp)*math.Ln2 }

func distance(a, b *key) float64 {
	var d float64
	for k := range a.x {
		d = math.Max(d, math.Abs(a.x[k]-b.x[k]))
	}
	return d
}

// unmatched says which unit has no counterpart and how near the nearest is.
func (m *matching) unmatched(p *pair, a *key, kb []key, used []bool) string {
	row := p.rowSlots[a.id][0]
	best, dist := -1, math.Inf(1)
	for j := range kb {
		if d := distance(a, &kb[j]); !used[j] && d < dist {
			best, dist = j, d
		}
	}
	s := fmt.Sprintf("%s, unit %d has no counterpart", m.a.Nodes[p.node].Label(), row)
	if best >= 0 {
		s += fmt.Sprintf("; the nearest is unit %d, whose incoming weights differ by about %.2g relative to their norm",
			p.rowSlots[kb[best].id][0], dist)
	}
	return s
}

// randomColumns returns the random numbers of each of a's columns and taps; those
// of one class are the same. Units without incoming weights compute nothing and
// have a factor that only their outgoing weights tell: they have none.
func (m *matching) randomColumns(p *pair) []*[keys]float64 {
	out := make([]*[keys]float64, len(p.cols)*p.taps)
	next := map[int32]int{}
	for j, id := range p.cols {
		slot := next[id]
		next[id]++
		class := id
		if id != dag.NoGroup {
			class = m.class[id]
			if math.IsInf(m.lnNorm(0, id), -1) {
				continue
			}
		}
		for t := range p.taps {
			r := random(p.node, int(class), slot, t)
			out[j*p.taps+t] = &r
		}
	}
	return out
}

// shift is the largest logarithm of a norm of a's columns, by which all are
// divided to stay in range.
func (m *matching) shift(p *pair) float64 {
	s := math.Inf(-1)
	for _, id := range p.cols {
		s = math.Max(s, m.lnNorm(0, id))
	}
	if math.IsInf(s, -1) {
		return 0
	}
	return s
}

// lnNorm is the logarithm of a group's norm in a (0) or b (1).
func (m *matching) lnNorm(k int, id int32) float64 {
	if id == dag.NoGroup {
		return 0
	}
	return m.ln[k][id] // pinned units have none: norm 1
}

// columnNorms are the norms of a's or b's columns over e^shift.
func (m *matching) columnNorms(p *pair, k int, shift float64) []float64 {
	return lists.Map(p.cols, func(id int32) float64 { return math.Exp(m.lnNorm(k, id) - shift) })
}

// factor takes a group's factor from its norms.
func (m *matching) factor(id int32) {
	if z := m.ln[1][m.sigma[id]] - m.ln[0][id]; !math.IsNaN(z) && !math.IsInf(z, 0) {
		m.z[id] = z
	}
}

// project adds a row of a, from a column on, to a key, or one of b at the place
// that back gives each of its columns. Columns without random numbers are left out.
// Smaller weights than least have lost digits.
func (m *matching) project(k *key, p *pair, slot, first int, row []float64, bias, shift float64, norms []float64, rho []*[keys]float64, back []int32, least float64) {
	bias *= math.Exp(-shift)
	if k.len == 0 {
		// Squares of the terms must stay in range. A weight below least is known to
		// its quantum, a zero too, and a norm near the end of the range to that of
		// float64: what this makes of a term has to be small beside the largest.
		top, vague := math.Abs(bias), 0.0
		quantum := least * m.tol
		if bias != 0 && math.Abs(bias) < least*math.Exp(-shift) {
			vague = quantum * math.Exp(-shift)
		}
		for i, w := range row {
			norm, w := norms[first+i/p.taps], math.Abs(w)
			top = max(top, w*norm)
			if w < least {
				vague = max(vague, quantum*norm)
			}
			if norm < 0x1p-980 {
				vague = max(vague, w*0x1p-1074)
			}
		}
		_, k.exp = math.Frexp(top)
		k.lossy = k.lossy || top != 0 && (top < 0x1p-900 || vague > m.tol*top) || top-top != 0
	}
	mix := float64(slot + 1)
	// 2^-exp in two steps, each in range.
	half := math.Ldexp(1, -k.exp/2)
	rest := math.Ldexp(mix, -k.exp-(-k.exp/2))
	add := func(r *[keys]float64, w float64) {
		w *= half
		w *= rest
		k.len += w * w
		for q := range r {
			k.x[q] += r[q] * w
		}
	}
	for i, w := range row {
		j := first + i/p.taps
		norm := norms[j]
		if back != nil {
			if j = int(back[j]); j < 0 {
				continue
			}
		}
		if r := rho[j*p.taps+i%p.taps]; r != nil {
			add(r, w*norm)
		}
	}
	r := random(p.node, -1, slot)
	add(&r, bias)
}

// inverse maps b's columns to a's.
func (m *matching) inverse(p *pair) []int32 {
	out := slices.Repeat([]int32{-1}, len(p.cols))
	for j, to := range p.colOf {
		if to >= 0 {
			out[to] = int32(j)
		}
	}
	return out
}

// slopeFeatures returns a number for each group made of the slopes of its
// activations, in a and in b.
func (m *matching) slopeFeatures() [2]map[int32]float64 {
	out := [2]map[int32]float64{{}, {}}
	for k, n := range []*dag.Network{m.a, m.b} {
		for nd, x := range dag.Each[*dag.Activation](n) {
			units := &m.g.Units[nd.ID]
			if len(x.Slope) == 1 || units.IDs == nil {
				continue
			}
			r := random(nd.ID)[0]
			for e := range nd.Len() {
				out[k][units.At(e)] += r * x.At(e)
			}
		}
	}
	return out
}

// apart tells the members of classes apart by their outgoing weights, the last
// layer first, all classes of a layer in one read. A weight to a row of factor
// c_row counts times it, and all times the norm of the unit's incoming weights,
// which makes them independent of the unit's factor.
func (m *matching) apart() {
	for k := len(m.classes) - 1; k >= 0 && m.ctx.Err() == nil; k-- {
		m.place()
		member, places := map[int32]*key{}, map[int32]*key{}
		for _, class := range m.classes[k] {
			for _, id := range class {
				member[id], places[m.sigma[id]] = &key{id: id}, &key{id: m.sigma[id]}
			}
		}
		for _, p := range m.layers {
			m.outgoing(p, member, places)
		}
		for _, class := range m.classes[k] {
			m.pairUp(class, member, places)
		}
	}
}

// pairUp pairs the members of a class by their keys, the nearest first in order.
func (m *matching) pairUp(class []int32, member, places map[int32]*key) {
	top := math.Inf(-1)
	for _, id := range class {
		top = math.Max(top, m.ln[0][id])
	}
	kb := make([]*key, len(class))
	for i, id := range class {
		kb[i] = places[m.sigma[id]]
		scale(member[id], m.ln[0][id]-top)
		scale(kb[i], m.ln[1][kb[i].id]-top)
	}
	for _, id := range class {
		best, dist := 0, math.Inf(1)
		for j := range kb {
			if d := distance(member[id], kb[j]); d < dist {
				best, dist = j, d
				if d == 0 {
					break
				}
			}
		}
		m.sigma[id] = kb[best].id
		if m.g.Pin[id] == "" {
			m.factor(id)
		}
		kb = slices.Delete(kb, best, best+1)
	}
}

// scale multiplies a key by the norm of the unit, or divides it by its own
// length where the unit has none.
func scale(k *key, ln float64) {
	norm := math.Exp(ln)
	if !(norm > 0) || math.IsInf(norm, 1) {
		norm = 1 / math.Sqrt(math.Max(k.len, math.SmallestNonzeroFloat64))
	}
	for q := range k.x {
		k.x[q] *= norm
	}
}

// outgoing adds the weights out of units to their keys.
func (m *matching) outgoing(p *pair, member, places map[int32]*key) {
	n := len(p.cols) * p.taps
	// The keys of the columns and taps, and which random numbers of a row they take.
	var toA, toB []*key
	draw := make([]int, n)
	most := 0
	next := map[int32]int{}
	for j, id := range p.cols {
		a, b := member[id], places[id]
		if a == nil && b == nil {
			continue
		}
		if toA == nil {
			toA, toB = make([]*key, n), make([]*key, n)
		}
		for t := range p.taps {
			at := j*p.taps + t
			toA[at], toB[at], draw[at] = a, b, next[id]*p.taps+t
			most = max(most, draw[at])
		}
		next[id]++
	}
	if toA == nil {
		return
	}
	r := p.reader()
	drawn := make([][keys]float64, most+1)
	add := func(to []*key, first int, row []float64, factor float64) {
		for e, w := range row {
			k := to[first*p.taps+e]
			if k == nil || w == 0 {
				continue
			}
			w *= factor
			k.len += w * w
			for q, x := range drawn[draw[first*p.taps+e]] {
				k.x[q] += x * w
			}
		}
	}
	for i, id := range p.rows {
		if id == dag.NoGroup || p.rowOf[i] < 0 {
			continue
		}
		if m.ctx.Err() != nil {
			return
		}
		for d := range drawn {
			drawn[d] = random(p.node, i, d/p.taps, d%p.taps, -2)
		}
		first, w := r.a.row(i)
		add(toA, first, w, math.Exp(m.z[id]))
		first, w = r.b.row(int(p.rowOf[i]))
		add(toB, first, w, 1)
	}
}

// sameSlots checks that b ties units as a does.
func (c *comparison) sameSlots() string {
	other := c.b.Groups()
	for _, p := range c.layers {
		for k, ids := range [][2][]int32{{c.g.Rows[p.node], other.Rows[p.node]}, {c.g.Cols[p.node], other.Cols[p.node]}} {
			if !slices.Equal(ids[0], ids[1]) {
				return fmt.Sprintf("another architecture: %s: %s tied otherwise", c.a.Nodes[p.node].Label(),
					[...]string{"units", "inputs"}[k])
			}
		}
	}
	return ""
}

// permutation lists the layers whose rows move.
func (c *comparison) permutation() []LayerOrder {
	var out []LayerOrder
	for _, p := range c.layers {
		moved := false
		units := make([]int, len(p.rowOf))
		for i, j := range p.rowOf {
			units[i] = int(j)
			moved = moved || int(j) != i
		}
		if moved {
			out = append(out, LayerOrder{p.node, c.a.Nodes[p.node].Name, units})
		}
	}
	return out
}
