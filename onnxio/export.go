package onnxio

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/wire"
	"github.com/relupath/relupath/onnxio/internal/write"
)

// WriteOptions say how a model is written. The zero value works.
type WriteOptions struct {
	// External is where the external data of the model goes, if it has any: a
	// path relative to the folder of the model, with slashes; default the
	// model's base name and ".data".
	External string
	// SkipSync leaves out waiting for the disk.
	SkipSync bool
	// Without are units that the written model does not have. Default: none.
	Without *Removal
}

// Removal says which units of the network go: see prune.Dead, which finds those without which
// the function is the same.
type Removal = write.Removal

// Keeps lists the groups of a removal that must stay, since the file stores or reshapes them in a
// way that cannot become smaller, by the reason. What is left out for them may make others
// stay: it is to be asked again until it lists none.
func (m *Model) Keeps(r *Removal) map[string][]int32 { return write.Keeps(m.file, m.Net, r) }

// External reports whether the model has external data.
func (m *Model) External() bool { return m.file.HasExternal() }

// WriteFile writes the model with the parameters of net, a network that edits
// of m.Net made, and waits until it is on the disk. Everything but the edited
// numbers comes from the source file: an unedited model is written byte for
// byte. A new initializer is added only where uses of one stored tensor became
// different, where a scalar became a vector, and where the numbers were computed
// from constants. External data, edited or not, is written to one new file
// beside the output.
//
// WriteFile creates or truncates path; to replace a file safely, write to a
// temporary name and rename. Errors: the operating system's; a network that is
// not of this model; a number that is not finite in the stored type; path or
// the data file being a file that the model is read from. After an error no
// file is left.
func (m *Model) WriteFile(path string, net *dag.Network, opt WriteOptions) error {
	p, err := m.patch(net, opt.Without)
	if err != nil {
		return err
	}
	written := []string{}
	err = m.Guard(func() error {
		if m.file.HasExternal() {
			location := cmp.Or(opt.External, filepath.Base(path)+".data")
			if err := p.RelocateExternal(location); err != nil {
				return err
			}
			data := filepath.Join(filepath.Dir(path), filepath.FromSlash(location))
			if err := m.create(data, p.ExternalSize(), opt, p.WriteExternal, &written); err != nil {
				return err
			}
		}
		return m.create(path, p.Size(), opt, p.WriteTo, &written)
	})
	if err != nil {
		for _, name := range written {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return err
}

// WriteNetwork writes a network that came from no file as a new ONNX model of
// IR version 8 and opset 17, its batch axis open. Stored tensors keep their
// names and, where all have one type, their type: tensors of several types are
// widened to the widest, and bfloat16, which many operators of that opset do
// not take, to float32. A number a unit that shares elements of a smaller
// tensor is stored for each unit. Errors: a function or a Cap, a pooling
// that ONNX has no attributes for, a model above 2 GiB.
func WriteNetwork(w io.Writer, net *dag.Network) error { return write.Network(w, net) }

// patch collects the edits that take the file to net.
func (m *Model) patch(net *dag.Network, without *Removal) (*wire.Patch, error) {
	var p *wire.Patch
	var err error
	if without != nil {
		p, err = write.Smaller(m.file, net, without, m.Values)
	} else {
		p, err = write.Edits(m.file, m.Net, net)
	}
	if err != nil {
		return nil, err
	}
	return p, m.classes(p)
}

// create writes one file, of the given size, and notes it in written.
func (m *Model) create(path string, size int64, opt WriteOptions, write func(io.Writer) (int64, error), written *[]string) error {
	if err := m.notSource(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		*written = append(*written, path)
		if err := allocate(f, size); err != nil {
			return errors.Join(fmt.Errorf("onnxio: writing %s: %w", path, err), f.Close())
		}
	}
	if _, err := write(f); err != nil {
		return errors.Join(fmt.Errorf("onnxio: writing %s: %w", path, err), f.Close())
	}
	if !opt.SkipSync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// notSource refuses to write over a file that is mapped.
func (m *Model) notSource(path string) error {
	to, err := os.Stat(path)
	if err != nil {
		return nil
	}
	for _, s := range m.Files() {
		if from, err := os.Stat(s); err == nil && os.SameFile(from, to) {
			return fmt.Errorf("onnxio: %s is the file that the model is read from: write to another name and rename it at the end", path)
		}
	}
	return nil
}

// Files lists the files that the model is read from: its own, and those of its
// external data. A model that was read from bytes has none.
func (m *Model) Files() []string {
	if m.path == "" {
		return nil
	}
	return append([]string{m.path}, dataFiles(m.file, m.path)...)
}

// DataFiles lists the files of external data that a model file names, whether
// they exist or not, without reading the network. Errors are those of [Read] for
// a file that is no ONNX file or cannot be read.
func DataFiles(path string) ([]string, error) {
	f, err := wire.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	return dataFiles(f, path), f.Close()
}

func dataFiles(f *wire.File, path string) []string {
	return lists.Map(f.ExternalLocations(), func(location string) string { return filepath.Join(filepath.Dir(path), filepath.FromSlash(location)) })
}

// Write writes the model with the parameters of net to w, as WriteFile does.
// A model with external data can be written only unedited, naming the same data
// files.
func (m *Model) Write(w io.Writer, net *dag.Network) error {
	p, err := m.patch(net, nil)
	if err != nil {
		return err
	}
	return m.Guard(func() error {
		_, err := p.WriteTo(w)
		return err
	})
}
