package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/outfile"
)

// modelDraft is a model in a draft: beside its output, or among the system's
// temporary files where that is a stream or nothing.
type modelDraft struct {
	app    *app
	draft  *outfile.Draft
	model  *modelFile
	output string
	old    existing
	// files are the graph and its file of external data, if there is one. The
	// data has a name that no file has: until the graph takes its place, the old
	// graph and its data are what they were.
	files outfile.Files
}

// vacantModel is vacant for the output of a model, which may be the file that it
// is read from: that one is replaced at once, when all is read.
func (a *app) vacantModel(m *modelFile, path string, old existing) error {
	if !m.External() {
		return a.vacantBut(path, old, m.Path())
	}
	if path == stdStream || isDevice(path) {
		return usagef("the model has external data, which needs a file of its own: give a file with -o")
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("cannot write %s: it is a link, and the model has external data, which lies beside the model: give the file that the link leads to", path)
	}
	if err := a.vacantBut(path, old, m.Path()); err != nil || old == replaced {
		return err
	}
	return a.vacant(dataName(path, 0), kept)
}

// writeModel writes the model with the parameters of net into a draft of output;
// output "" is none. The caller removes it. Of the options those that say where do not count.
func (a *app) writeModel(m *modelFile, net *dag.Network, output string, old existing, opt writeOptions) (*modelDraft, error) {
	w := &modelDraft{app: a, model: m, output: output, old: old, files: outfile.Files{Main: "model.onnx"}}
	target := filepath.Join(os.TempDir(), w.files.Main)
	opt.SkipSync = true
	if w.placed() {
		if err := a.vacantModel(m, output, old); err != nil {
			return nil, err
		}
		var err error
		if target, err = resolve(output); err != nil {
			return nil, err
		}
		w.files.Main = filepath.Base(target)
	}
	if m.External() {
		opt.External = w.files.Main + ".data"
		if w.placed() {
			opt.External = freeData(target)
		}
		w.files.Beside = []string{opt.External}
	}
	d, err := a.draft(target)
	if err != nil {
		return nil, unwritten(output, err)
	}
	w.draft = d
	if err := m.WriteFile(w.path(), net, opt); err != nil {
		d.Remove()
		return nil, err
	}
	return w, nil
}

// placed reports whether the output is a file, into whose place the draft is
// renamed.
func (w *modelDraft) placed() bool {
	return w.output != "" && w.output != stdStream && !isDevice(w.output)
}

// path returns the file that was written.
func (w *modelDraft) path() string { return w.draft.Path(w.files.Main) }

// sync waits until what was written is on the disk.
func (w *modelDraft) sync() error {
	if !w.placed() {
		return nil
	}
	var err error
	for _, name := range append(slices.Clone(w.files.Beside), w.files.Main) {
		err = errors.Join(err, w.draft.Sync(name))
	}
	return err
}

// place makes what was written the output.
func (w *modelDraft) place() error {
	if !w.placed() {
		f, err := os.Open(w.path())
		if err != nil {
			return err
		}
		defer f.Close()
		// Whoever reads the stream may end this process.
		w.draft.Remove()
		return w.app.save(w.output, w.old, func(to io.Writer) error {
			_, err := io.Copy(to, f)
			return err
		})
	}
	if err := w.app.vacantModel(w.model, w.output, w.old); err != nil {
		return err
	}
	target, err := resolve(w.output)
	if err != nil {
		return err
	}
	var left []string
	w.files.Stale, left = w.stale(target)
	err = w.draft.Place(w.files)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("cannot write %s: another process has just made %s: run the command again", w.output, strings.Join(w.files.Beside, ", "))
	case err != nil:
		return unwritten(w.output, err)
	}
	for _, why := range left {
		w.app.warn("%s", why)
	}
	return nil
}

// saveModel writes a model to a file or a stream.
func (a *app) saveModel(m *modelFile, net *dag.Network, output string, old existing) error {
	if output == stdStream || isDevice(output) {
		return a.save(output, old, func(w io.Writer) error { return m.Write(w, net) })
	}
	w, err := a.writeModel(m, net, output, old, writeOptions{})
	if err != nil {
		return err
	}
	defer w.draft.Remove()
	if err := w.sync(); err != nil {
		return err
	}
	return w.place()
}

// dataName returns the k-th name for the external data of a model file.
func dataName(model string, k int) string {
	if k == 0 {
		return model + ".data"
	}
	return fmt.Sprintf("%s.%d.data", model, k)
}

// ownData reports whether a file has one of the names that dataName gives.
func ownData(model, path string) bool {
	rest, ok := strings.CutPrefix(path, model+".")
	if !ok || rest == "data" {
		return ok
	}
	number, ok := strings.CutSuffix(rest, ".data")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// freeData returns the first name for the data of a model that no file has, and
// that no model in the folder names: one whose data is missing is not to read
// this.
func freeData(model string) string {
	named := dataIn(filepath.Dir(model))
	for k := 0; ; k++ {
		name := dataName(model, k)
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) && named.by[name] == nil {
			return filepath.Base(name)
		}
	}
}

// readers are the model files of a folder by the files of external data that
// they name.
type readers struct {
	by map[string][]string
	// unknown are the model files that cannot be read.
	unknown []string
}

func dataIn(dir string) readers {
	r := readers{by: map[string][]string{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.unknown = []string{dir}
	}
	for _, e := range entries {
		if !strings.EqualFold(filepath.Ext(e.Name()), ".onnx") {
			continue
		}
		model := filepath.Join(dir, e.Name())
		files, err := dataFiles(model)
		if err != nil {
			r.unknown = append(r.unknown, model)
		}
		for _, f := range files {
			r.by[f] = append(r.by[f], model)
		}
	}
	return r
}

// of returns a model file that reads the data in a file, by whatever name, or
// may do so; empty for none. One model does not count.
func (r *readers) of(data fs.FileInfo, but string) string {
	for path, models := range r.by {
		if info, err := os.Stat(path); err != nil || !os.SameFile(info, data) {
			continue
		}
		for _, m := range models {
			if m != but {
				return m
			}
		}
	}
	if len(r.unknown) > 0 {
		return r.unknown[0]
	}
	return ""
}

// unread reports whether no model of its folder reads a file of data.
func unread(path string) bool {
	info, err := os.Lstat(path)
	r := dataIn(filepath.Dir(path))
	return err == nil && r.of(info, "") == ""
}

// stale returns the data of the file that the model replaces, which nothing
// reads afterwards: it has a name that this program gives, no other model of the
// folder reads it, and the model is not read from it, unless it is read from the
// file that is replaced. left tells why other data of it stay.
func (w *modelDraft) stale(target string) (names, left []string) {
	files, err := dataFiles(target)
	if err != nil || len(files) == 0 {
		return nil, nil
	}
	r := dataIn(filepath.Dir(target))
	if from, err := resolve(w.model.Path()); err == nil && from != target {
		for _, f := range w.model.Files() {
			r.by[f] = append(r.by[f], w.model.Path())
		}
	}
	for _, f := range files {
		info, err := os.Lstat(f)
		if err != nil {
			continue
		}
		why := "relupath did not write it"
		if ownData(target, f) && info.Mode().IsRegular() {
			reader := r.of(info, target)
			if reader == "" {
				names = append(names, filepath.Base(f))
				continue
			}
			why = reader + " may read it"
		}
		left = append(left, fmt.Sprintf("%s, the data of the file that %s replaced, is left: %s", f, w.output, why))
	}
	return names, left
}
