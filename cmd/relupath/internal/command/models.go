package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/outfile"
)

// modelFlags are the flags of commands that read models.
type modelFlags struct {
	shapes []string
	// several says that a shape may be for an input that only some of the
	// models have.
	several bool
	// sample tells the shape of one example of the data that the model is to read; nil
	// without data.
	sample func() ([]int, error)
}

func (m *modelFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&m.shapes, "input-shape", nil,
		"shape of an input, batch included, where the file leaves a dimension open: NAME=1x784")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"onnx"}, cobra.ShellCompDirectiveFilterFileExt
	}
}

// open reads a model from a file, or from standard input for "-". Shapes that neither
// the file nor the flags give are those of the data, if there are any.
func (a *app) open(ctx context.Context, path string, flags *modelFlags) (*modelFile, error) {
	m, err := a.openWith(ctx, path, flags, readOptions{})
	if shapes := assumable(err); shapes != nil && flags.sample != nil {
		return a.openSample(ctx, path, flags, shapes[0], err)
	}
	return m, err
}

// openWith is open with further options; shapes of the flags come before those.
func (a *app) openWith(ctx context.Context, path string, flags *modelFlags, opt readOptions) (*modelFile, error) {
	shapes, err := parseShapes(flags.shapes)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--input-shape: %w", err)}
	}
	all := map[string][]int{}
	maps.Copy(all, opt.InputShape)
	maps.Copy(all, shapes)
	opt.InputShape = all
	m, err := a.read(ctx, path, opt)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	if a.hasInput == nil {
		a.hasInput = map[string]bool{}
	}
	for i := range m.Inputs {
		if name := m.Inputs[i].Name; !a.hasInput[name] {
			a.inputs, a.hasInput[name] = append(a.inputs, name), true
		}
	}
	a.mu.Unlock()
	if flags.several {
		return m, nil
	}
	if err := a.misnamed(flags); err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// misnamed is the error of flags that give the shape of an input that none of the models
// opened until now has.
func (a *app) misnamed(flags *modelFlags) error {
	shapes, err := parseShapes(flags.shapes)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		if !a.hasInput[name] {
			return usagef("--input-shape: there is no input %q: the inputs are %s", name, strings.Join(a.inputs, ", "))
		}
	}
	return nil
}

func (a *app) read(ctx context.Context, path string, opt readOptions) (*modelFile, error) {
	if !a.several {
		a.stage(path, "reading")
	}
	if path != stdStream {
		m, err := readFile(path, opt)
		if err == nil {
			a.reads(m.Files())
		}
		return m, err
	}
	data, err := a.readIn(ctx)
	if err != nil {
		return nil, err
	}
	return readBytes(data, opt)
}

// withModel opens a model and calls f, which may read its weights: see
// Guard.
func (a *app) withModel(ctx context.Context, path string, flags *modelFlags, f func(*modelFile) error) error {
	m, err := a.open(ctx, path, flags)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guard(func() error { return f(m) })
}

// withFinite is withModel for commands that compute with the weights: NaN and
// infinities are refused. what names the work in the message.
func (a *app) withFinite(ctx context.Context, path string, flags *modelFlags, what string, f func(*modelFile) error) error {
	return a.withModel(ctx, path, flags, func(m *modelFile) error {
		if bad := notFinite(m.Net, a.threads); bad != nil {
			return invalidf("%s: %s has NaN or infinite values: cannot %s such a model", path, strings.Join(bad, ", "), what)
		}
		for _, w := range m.Warnings {
			a.warn("%s: %s", path, w)
		}
		return f(m)
	})
}

// notFinite returns the names of the stored tensors with NaN or infinities. What
// belongs to functions, such as the mask of an attention, may have them.
func notFinite(n *dag.Network, threads int) []string {
	var out []string
	for _, p := range n.Counted() {
		if x := p.MaxAbs(threads); x-x != 0 {
			out = append(out, fmt.Sprintf("%q", p.Name))
		}
	}
	return out
}

// expand turns folders into the *.onnx files below them, in the order of
// compareFiles. A link to a folder is followed where it is named, not below; a link to
// a file counts where that file is not there itself, as in the cache of Hugging Face. A
// folder that cannot be listed, and a link that leads nowhere, stands for itself: to open
// it tells why. Errors: a folder without any.
func expand(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if arg == stdStream || err != nil || !info.IsDir() {
			out = append(out, arg)
			continue
		}
		before := len(out)
		var links []string
		// The separator makes the walk enter a link.
		err = filepath.WalkDir(arg+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				out = append(out, path)
				return fs.SkipDir
			}
			if d.IsDir() && outfile.IsDraft(d.Name()) {
				return fs.SkipDir // not finished
			}
			switch model := strings.EqualFold(filepath.Ext(path), ".onnx"); {
			case model && d.Type().IsRegular():
				out = append(out, path)
			case model && d.Type()&fs.ModeSymlink != 0:
				links = append(links, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, elsewhere(links, out[before:])...)
		if len(out) == before {
			return nil, fmt.Errorf("folder %s has no *.onnx file", arg)
		}
		slices.SortFunc(out[before:], compareFiles)
	}
	return out, nil
}

// elsewhere returns the links that lead to files which are not in the list, one for each
// such file, and those that lead nowhere.
func elsewhere(links, list []string) []string {
	if len(links) == 0 {
		return nil
	}
	seen := map[string]bool{}
	for _, path := range list {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			seen[real] = true
		}
	}
	var out []string
	for _, path := range links {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			if info, err := os.Stat(real); err != nil || !info.Mode().IsRegular() || seen[real] {
				continue
			}
			seen[real] = true
		}
		out = append(out, path)
	}
	return out
}

// hash returns the SHA-256 of a file in hexadecimal.
func hash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// failure is one model that could not be read, for a report.
type failure struct {
	Path      string     `json:"path"`
	Obstacles []obstacle `json:"obstacles"`
	err       error
}

type obstacle struct {
	Node   string `json:"node"`
	Op     string `json:"op"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy,omitempty"`
}

func newFailure(path string, err error) failure {
	f := failure{Path: path, err: err, Obstacles: []obstacle{{Reason: reason(err)}}}
	if unsupported, ok := errors.AsType[*unsupportedError](err); ok {
		f.Obstacles = lists.Map(unsupported.Obstacles, func(o fileObstacle) obstacle { return obstacle{o.Node, o.Op, o.Reason, o.Remedy} })
	}
	return f
}

// reason is an error without the path that a report names beside it.
func reason(err error) string {
	var file *fs.PathError
	var invalid *invalidError
	switch {
	case errors.As(err, &invalid):
		return strings.TrimPrefix((&invalidError{Err: invalid.Err}).Error(), "onnxio: ")
	case errors.As(err, &file):
		return file.Err.Error()
	}
	return plain(err.Error())
}

// shortNames returns what tells paths apart: each file's name without .onnx,
// with as many of its folders as it takes.
func shortNames(paths []string) []string {
	parts := make([][]string, len(paths))
	names := make([]string, len(paths))
	shown := make([]int, len(paths))
	for i, p := range paths {
		p = strings.TrimSuffix(filepath.ToSlash(filepath.Clean(p)), ".onnx")
		parts[i] = strings.Split(p, "/")
		shown[i] = 1
	}
	for changed := true; changed; {
		changed = false
		count := map[string]int{}
		for i, p := range parts {
			names[i] = strings.Join(p[len(p)-shown[i]:], "/")
			count[names[i]]++
		}
		for i, p := range parts {
			if count[names[i]] > 1 && shown[i] < len(p) {
				shown[i]++
				changed = true
			}
		}
	}
	return names
}
