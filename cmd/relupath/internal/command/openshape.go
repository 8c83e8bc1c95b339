package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
)

// assumable returns shapes with which a model can be read that could not be read only
// because its inputs leave some open; nil where there are none.
func assumable(err error) []map[string][]int {
	if e, ok := errors.AsType[*unsupportedError](err); ok {
		return e.Examples
	}
	return nil
}

// openReason says what is missing, and the option that gives it.
func openReason(example map[string][]int) string {
	return fmt.Sprintf("%s: give it, for example --input-shape %s", left(example), strings.Join(shapeFlags(example), " --input-shape "))
}

// left says of which inputs the file leaves the shape open.
func left(example map[string][]int) string {
	names := lists.Map(slices.Sorted(maps.Keys(example)), strconv.Quote)
	return fmt.Sprintf("the file leaves the shape of %s open", strings.Join(names, ", "))
}

// shapeFlags are the values of --input-shape that give an example.
func shapeFlags(example map[string][]int) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(example)) {
		shape := lists.Map(example[name], strconv.Itoa)
		out = append(out, name+"="+strings.Join(shape, "x"))
	}
	return out
}

// with are the flags with the shapes of an example beside those given.
func (m *modelFlags) with(example map[string][]int) *modelFlags {
	out := *m
	out.shapes = slices.Concat(m.shapes, shapeFlags(example))
	return &out
}

// ofShape says in a report which shapes it is of, if those were assumed.
func ofShape(assumed *modelFlags) []string {
	if assumed == nil {
		return nil
	}
	return []string{"the file leaves shapes open: numbers are of " + strings.Join(assumed.shapes, ", ")}
}

// openSample opens a model whose shapes the data have, where the file leaves those of one
// input open. A batch of examples has one axis more than an example, else the axes of ones
// that the model wants before it, or one for all numbers. unread is the error without shapes,
// which stays where no example fits.
func (a *app) openSample(ctx context.Context, path string, flags *modelFlags, example map[string][]int, unread error) (*modelFile, error) {
	if len(example) != 1 {
		return nil, unread
	}
	sample, err := flags.sample()
	if err != nil {
		return nil, err
	}
	for name, like := range example {
		shape := make([]int, len(like))
		switch own := len(like) - 1 - len(sample); {
		case own >= 0:
			for k := range shape {
				shape[k] = 1
			}
			copy(shape[1+own:], sample)
		case len(like) == 2:
			copy(shape, []int{1, dag.Size(sample)})
		default:
			return nil, unread
		}
		example = map[string][]int{name: shape}
	}
	m, err := a.again(ctx, path, flags, readOptions{InputShape: example})
	if err != nil {
		return nil, err
	}
	m.Warnings = append(m.Warnings, fmt.Sprintf("%s: the examples have %s", left(example), strings.Join(shapeFlags(example), " ")))
	return m, nil
}

// withAssumed is withFinite for commands that want an extent of every axis. Where the file
// leaves some open it is read with shapes that fit, and f gets the flags that give those;
// nil else.
func (a *app) withAssumed(ctx context.Context, path string, flags *modelFlags, what string, f func(m *modelFile, assumed *modelFlags) error) error {
	read := false
	err := a.withFinite(ctx, path, flags, what, func(m *modelFile) error {
		read = true
		return f(m, nil)
	})
	shapes := assumable(err)
	if read || shapes == nil {
		return err
	}
	if path == stdStream {
		a.rewind()
	}
	a.warn("%s: read with an assumed shape: %s", path, openReason(shapes[0]))
	assumed := flags.with(shapes[0])
	return a.withFinite(ctx, path, assumed, what, func(m *modelFile) error { return f(m, assumed) })
}

// otherShapes makes sure that a written model, of a source whose shapes the file leaves open
// and the flags or the data gave, is one of other shapes too: of a table that is cut to the
// shape it may have the part alone. same may compare the models of one shape.
func (a *app) otherShapes(ctx context.Context, source, written string, flags *modelFlags, same func(source, written *modelFile) error) error {
	if flags.shapes == nil && flags.sample == nil {
		return nil
	}
	bare := &modelFlags{several: true}
	m, err := a.again(ctx, source, bare, readOptions{})
	if err == nil {
		return m.Close()
	}
	for _, example := range assumable(err) {
		if err := a.otherShape(ctx, source, written, bare.with(example), same); err != nil {
			if refused, ok := errors.AsType[*unsupportedError](err); ok {
				err = &unsupportedError{Obstacles: refused.Obstacles} // without the draft's name
			}
			return fmt.Errorf("what is written is not the model for %s, which has another shape: %w", strings.Join(shapeFlags(example), ", "), err)
		}
	}
	return nil
}

func (a *app) otherShape(ctx context.Context, source, written string, flags *modelFlags, same func(source, written *modelFile) error) error {
	again, err := a.again(ctx, written, flags, readOptions{})
	if err != nil {
		return err
	}
	defer again.Close()
	if same == nil {
		return nil
	}
	m, err := a.again(ctx, source, flags, readOptions{})
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guard(func() error { return again.Guard(func() error { return same(m, again) }) })
}

// assumed measures what does not depend on shapes that a file leaves open: it reads the
// model with one assumption, or with two and keeps what is the same for both.
func (w *auditWork) assumed(ctx context.Context, path string, shapes []map[string][]int, opt analysis.Options) (out auditedModel, err error) {
	opt.Open = openReason(shapes[0])
	var other *analysis.Report
	whole, err := w.wholeTables(ctx, path, shapes, opt)
	if err != nil {
		return out, err
	}
	for _, s := range slices.Backward(shapes) {
		m, err := w.again(ctx, path, &w.options.modelFlags, readOptions{InputShape: s})
		if err != nil {
			return out, err
		}
		if len(shapes) == 1 || other != nil {
			out, err = w.opened(ctx, path, m, opt, other, whole)
			out.open = opt.Open
			out.Warnings = append(out.Warnings, opt.Open)
			return out, err
		}
		err = m.Guard(func() error {
			other, err = analysis.Measures(ctx, m.Net, opt)
			return err
		})
		if err := errors.Join(err, m.Close()); err != nil {
			return out, err
		}
	}
	return out, nil
}

// wholeTables is a report of the model with all of the tables that two assumed shapes cut: measured
// with a shape that takes each element once, or the number of parameters alone where there is none. It
// is nil where the shapes cut none, or where something else that the graph computes differs.
func (w *auditWork) wholeTables(ctx context.Context, path string, shapes []map[string][]int, opt analysis.Options) (r *analysis.Report, err error) {
	if len(shapes) < 2 {
		return nil, nil
	}
	var models []*modelFile
	defer func() {
		for _, m := range models {
			err = errors.Join(err, m.Close())
		}
	}()
	params := func(f *modelFlags) ([]*dag.Param, error) {
		m, err := w.again(ctx, path, f, readOptions{})
		if err != nil {
			return nil, err
		}
		models = append(models, m)
		return m.Net.Params(), nil
	}
	a, err := params(w.options.with(shapes[0]))
	if err != nil {
		return nil, err
	}
	b, err := params(w.options.with(shapes[1]))
	if err != nil || len(a) != len(b) {
		return nil, err
	}
	var cut []int
	for i, p := range a {
		if p.Len() == b[i].Len() || p.Made && b[i].Made { // a mask is no parameter
			continue
		}
		if cut = append(cut, i); p.Of == nil && b[i].Of == nil { // one may be the whole table
			return nil, nil
		}
	}
	if cut == nil {
		return nil, nil
	}
	r = &analysis.Report{Parameters: analysis.WholeParameters(models[0].Net)}
	flags, _, err := w.options.largest(ctx, w.app, path, shapes)
	if flags == nil || err != nil {
		return r, err
	}
	all, err := params(flags)
	if err != nil || len(all) != len(a) || slices.ContainsFunc(cut, func(i int) bool { return all[i].Of != nil && all[i].Len() != all[i].OfLen }) {
		return r, err
	}
	largest := models[len(models)-1]
	err = largest.Guard(func() error {
		r, err = analysis.Measures(ctx, largest.Net, opt)
		return err
	})
	return r, err
}

// readings are the flags to read two models with of which the file of one, or of both, leaves
// shapes open: those of the other's inputs, in their order, or else two assumptions. unread is
// the error without shapes, which stays where the inputs differ in number or rank.
func (o *equivalentOptions) readings(ctx context.Context, a *app, pathA, pathB string, unread error) ([][2]*modelFlags, error) {
	paths := [2]string{pathA, pathB}
	var ports [2][]portInfo
	var open [2][]map[string][]int
	for k, path := range paths {
		m, err := a.again(ctx, path, &o.modelFlags, readOptions{})
		if open[k] = assumable(err); open[k] != nil {
			m, err = a.again(ctx, path, o.with(open[k][0]), readOptions{})
		}
		if err != nil {
			return nil, err
		}
		ports[k] = m.Inputs
		_ = m.Close()
	}
	given, other := 0, 1
	if open[0] != nil && open[1] == nil {
		given, other = 1, 0
	}
	readings := []*modelFlags{&o.modelFlags}
	if open[given] != nil {
		readings = nil
		for _, s := range open[given] {
			readings = append(readings, o.with(s))
		}
		largest, _, err := o.modelFlags.largest(ctx, a, paths[given], open[given])
		if err != nil {
			return nil, err
		}
		if largest != nil {
			readings, o.whole = append(readings, largest), true
		}
	}
	var out [][2]*modelFlags
	for _, flags := range readings {
		m, err := a.again(ctx, paths[given], flags, readOptions{})
		if err != nil {
			return nil, err
		}
		shapes := sampleShapes(m)
		_ = m.Close()
		var of [2]*modelFlags
		of[given], of[other] = flags, &o.modelFlags
		if open[other] != nil {
			example := map[string][]int{}
			for k, p := range ports[other] {
				like, wanted := open[other][0][p.Name]
				if wanted && (k >= len(shapes) || len(shapes[k]) != len(like)) {
					return nil, unread
				}
				if wanted {
					example[p.Name] = shapes[k]
				}
			}
			of[other] = o.with(example)
		}
		out = append(out, of)
	}
	var with []string
	for _, of := range out {
		shapes := slices.Concat(of[0].shapes, of[1].shapes)
		slices.Sort(shapes)
		with = append(with, strings.Join(slices.Compact(shapes), " "))
	}
	a.warn("a file leaves shapes open: compared with %s", strings.Join(with, ", "))
	return out, nil
}

// maxExtents bounds the lengths of tables that are tried.
const maxExtents = 16

// largest are the flags of the largest shape with which a model can be read that reads more
// weights than two assumed shapes, if those read different numbers of them: all of a table
// that is cut to the shape. Its length is one of those of the stored tensors. It returns nil
// where there is none, and whether the shapes read different numbers of weights.
func (m *modelFlags) largest(ctx context.Context, a *app, path string, assumed []map[string][]int) (flags *modelFlags, cut bool, err error) {
	if len(assumed) < 2 {
		return nil, false, nil
	}
	var read []int
	var extents []int
	for _, s := range assumed {
		model, err := a.again(ctx, path, m.with(s), readOptions{})
		if err != nil {
			return nil, false, err
		}
		read = append(read, analysis.Parameters(model.Net))
		for _, t := range model.Tensors() {
			extents = append(extents, t.Shape...)
		}
		_ = model.Close()
	}
	if read[0] == read[1] {
		return nil, false, nil
	}
	slices.Sort(extents)
	extents = slices.Compact(extents)
	for _, extent := range slices.Backward(extents[max(0, len(extents)-maxExtents):]) {
		example := maps.Clone(assumed[1])
		for name, shape := range example {
			example[name] = slices.Clone(shape)
			for k := 1; k < len(shape); k++ {
				if shape[k] != assumed[0][name][k] {
					example[name][k] = extent
				}
			}
		}
		model, err := a.again(ctx, path, m.with(example), readOptions{})
		if err != nil {
			continue
		}
		n := analysis.Parameters(model.Net)
		_ = model.Close()
		if n >= max(read[0], read[1]) {
			return m.with(example), true, nil
		}
	}
	return nil, true, nil
}

// computed lists what units with factors read that is stored nowhere as it is, such as parts of tables.
func computed(n *dag.Network) (out []*dag.Param) {
	g := n.Groups()
	free := func(ids []int32) bool {
		return slices.ContainsFunc(ids, func(id int32) bool { return id != dag.NoGroup && g.Pin[id] == "" })
	}
	for nd := range dag.Each[*dag.Linear](n) {
		if !free(g.Rows[nd.ID]) && !free(g.Cols[nd.ID]) {
			continue
		}
		for _, u := range nd.Uses() {
			if u.Param.Storage == dag.NewInitializer {
				out = append(out, u.Param)
			}
		}
	}
	return out
}

// whole calls f with a model that was read with assumed shapes, or where those cut tables whose
// units have factors, with the same model of the largest shape, which reads all of them. Where there
// is none the units are pinned.
func (a *app) whole(ctx context.Context, path string, m *modelFile, given, assumed *modelFlags, f func(m *modelFile, assumed *modelFlags) error) error {
	bare, err := a.again(ctx, path, given, readOptions{})
	if err == nil {
		return errors.Join(bare.Close(), f(m, assumed))
	}
	shapes := assumable(err)
	if len(shapes) < 2 {
		return f(m, assumed)
	}
	parts := computed(m.Net)
	if len(parts) == 0 {
		return f(m, assumed)
	}
	pin := func(p *dag.Param) { p.Storage, p.Reason = dag.Unwritable, "other shapes may read other parts of it" }
	largest, cut, err := given.largest(ctx, a, path, shapes)
	switch {
	case err != nil:
		return err
	case largest == nil && cut:
		for _, p := range parts {
			pin(p)
		}
		return f(m, assumed)
	case largest == nil:
		return f(m, assumed)
	}
	all, err := a.again(ctx, path, largest, readOptions{})
	if err != nil {
		return err
	}
	defer all.Close()
	return all.Guard(func() error {
		for _, p := range computed(all.Net) {
			like := func(q *dag.Param) bool { return slices.Equal(q.Shape, p.Shape) }
			if !slices.ContainsFunc(parts, like) { // its shape is the input's: still a part
				pin(p)
			}
		}
		return f(all, largest)
	})
}

// steady makes the numbers unwritable that the graph computes otherwise for other shapes, where the
// file leaves some open and none was given: written as they are, they would be for one shape.
func (a *app) steady(ctx context.Context, path string, m *modelFile, given *modelFlags) error {
	if given.shapes != nil {
		return nil
	}
	bare, err := a.again(ctx, path, &modelFlags{several: true}, readOptions{})
	if err == nil {
		return bare.Close()
	}
	for _, shape := range assumable(err) {
		other, err := a.again(ctx, path, given.with(shape), readOptions{})
		if err != nil {
			return err
		}
		err = m.Guard(func() error { return other.Guard(func() error { pinUnlike(m.Net, other.Net); return nil }) })
		if err := errors.Join(err, other.Close()); err != nil {
			return err
		}
	}
	return nil
}

// pinUnlike makes computed numbers of n unwritable that the same layer of other does not have.
func pinUnlike(n, other *dag.Network) {
	for i := range n.Nodes {
		var like []*dag.Param
		if len(n.Nodes) == len(other.Nodes) {
			for _, u := range other.Nodes[i].Uses() {
				like = append(like, u.Param)
			}
		}
		k := 0
		for _, u := range n.Nodes[i].Uses() {
			p, same := u.Param, false
			if p.Storage == dag.NewInitializer && k < len(like) {
				same = slices.Equal(like[k].Shape, p.Shape) && slices.Equal(like[k].Values(), p.Values())
			}
			if k++; p.Storage == dag.NewInitializer && !same {
				p.Storage, p.Reason = dag.Unwritable, "other shapes compute other numbers"
			}
		}
	}
}

// sampleShapes are the shapes of a model's inputs for one sample, with the axis of the batch.
func sampleShapes(m *modelFile) [][]int {
	out := make([][]int, len(m.Inputs))
	for k, p := range m.Inputs {
		for _, in := range m.Net.Inputs {
			if in.Name == p.Name {
				out[k] = shapeOf(m, &m.Net.Nodes[in.Node], 1)
			}
		}
	}
	return out
}

// openFor opens a model to evaluate it on arrays as a whole: where the file leaves shapes
// open, or an operator mixes the samples of a batch, the arrays have the shapes.
func (o *runOptions) openFor(ctx context.Context, a *app, path string) (*modelFile, error) {
	m, err := a.open(ctx, path, &o.modelFlags)
	opt := readOptions{Whole: true}
	if shapes := assumable(err); shapes != nil {
		opt.InputShape = shapes[0]
		m, err = a.again(ctx, path, &o.modelFlags, opt)
	} else if err == nil && m.Mixed == "" {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	defer m.Close()
	opt.InputShape = map[string][]int{}
	for _, spec := range o.inputs {
		k, file, err := inputOf(m.Net, spec)
		if err != nil {
			return nil, err
		}
		arr, err := a.readArray(ctx, file)
		if err != nil {
			return nil, err
		}
		name := m.Net.Inputs[k].Name
		opt.InputShape[name] = arr.shape
		for _, p := range m.Inputs {
			if p.Name == name && len(p.Shape) == len(arr.shape)+1 {
				opt.InputShape[name] = slices.Insert(slices.Clone(arr.shape), 0, 1) // one sample
			}
		}
	}
	for _, spec := range o.inputs {
		if spec == stdStream || strings.HasSuffix(spec, "="+stdStream) {
			a.rewind()
		}
	}
	return a.again(ctx, path, &o.modelFlags, opt)
}

// again is openWith for a model that was opened before.
func (a *app) again(ctx context.Context, path string, flags *modelFlags, opt readOptions) (*modelFile, error) {
	if path == stdStream {
		a.rewind()
	}
	return a.openWith(ctx, path, flags, opt)
}
