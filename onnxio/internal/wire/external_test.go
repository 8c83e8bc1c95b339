package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// outside returns an initializer with external data at a location, and further
// entries of key and value.
func outside(name, location string, n int64, entries ...string) []byte {
	b := join(stringField(8, name), uintField(1, uint64(n)), uintField(2, uint64(Float32)), uintField(14, 1))
	entries = append([]string{"location", location}, entries...)
	for i := 0; i < len(entries); i += 2 {
		b = append(b, bytesField(13, stringField(1, entries[i]), stringField(2, entries[i+1]))...)
	}
	return bytesField(5, b)
}

// saved writes files into a new folder and opens m.onnx in it.
func saved(t testing.TB, files map[string][]byte) (*File, string) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	f, err := Open(filepath.Join(dir, "m.onnx"))
	check(t, err)
	t.Cleanup(func() { f.Close() })
	return f, dir
}

func TestExternalData(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(secret, le([]float32{9}), 0o644))
	f, dir := saved(t, map[string][]byte{
		"m.onnx": modelOf(
			outside("good", "d.bin", 2, "offset", "4", "length", "8"),
			outside("below", "sub/d.bin", 1),
			outside("absolute", secret, 1),
			outside("up", "../secret", 1),
			outside("up within", "sub/../../secret", 1),
			outside("backslash", `..\secret`, 1),
			outside("link", "link", 1),
			outside("missing", "nothing", 1),
			outside("folder", "sub", 1),
			outside("past the end", "d.bin", 2, "offset", "8"),
			outside("far past the end", "d.bin", 2, "offset", "9223372036854775807"),
			outside("wrong length", "d.bin", 2, "length", "4"),
			outside("no name", "", 2),
		),
		"d.bin":     le([]float32{1, 2, 3}),
		"sub/d.bin": le([]float32{5}),
	})
	check(t, os.Symlink(secret, filepath.Join(dir, "link")))
	wants := map[string]any{
		"good": []float32{2, 3}, "below": []float32{5},
		"absolute": "outside the model's folder", "up": "outside the model's folder", "up within": "outside the model's folder",
		"backslash": "outside the model's folder", "link": "a link to it leads out of the model's folder", "missing": "no such file", "folder": "not a regular file",
		"past the end": `wants bytes 8 to 16 of "d.bin", which has 12`, "far past the end": "which has 12",
		"wrong length": "4 bytes, dims [2] of float32 want 8", "no name": "empty location",
	}
	for i := range f.Graph.Initializers {
		x := &f.Graph.Initializers[i]
		v, _, err := x.Float32s()
		if want, fails := wants[x.Name].(string); fails {
			wantError(t, err, want)
			wantError(t, err, `tensor "`+x.Name+`"`)
		} else if d := cmp.Diff(wants[x.Name], v); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", x.Name, err, d)
		}
	}
}

// TestExternalDataOfLinks opens models that are links, as in the cache of Hugging
// Face: data are read beside the file that the model's link leads to, and nowhere
// else.
func TestExternalDataOfLinks(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"blobs", "snapshots/1/sub", "other"} {
		check(t, os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	model := modelOf(outside("w", "m.onnx_data", 1), outside("below", "sub/more", 1), outside("same name", "plain", 1),
		outside("elsewhere", "elsewhere", 1), outside("loop", "loop", 1), outside("gone", "gone", 1))
	for name, data := range map[string][]byte{
		"blobs/a1": model, "blobs/b2": le([]float32{1}), "blobs/c3": le([]float32{2}), "blobs/plain": le([]float32{3}),
		"other/secret": le([]float32{9}), "snapshots/1/regular.onnx": model,
	} {
		check(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	for link, to := range map[string]string{
		"m.onnx": "../../blobs/a1", "m.onnx_data": "../../blobs/b2", "sub/more": "../../../blobs/c3",
		"elsewhere": "../../other/secret", "loop": "loop",
	} {
		check(t, os.Symlink(to, filepath.Join(dir, "snapshots/1", link)))
	}
	check(t, os.Symlink("../other/secret", filepath.Join(dir, "blobs/elsewhere")))
	// A link to the link, in a folder without data.
	check(t, os.Symlink("snapshots/1/m.onnx", filepath.Join(dir, "chain.onnx")))
	refused := "a link to it leads out of the model's folder"
	for name, wants := range map[string]map[string]any{
		"m.onnx": {
			"w": []float32{1}, "below": []float32{2}, "same name": []float32{3},
			"elsewhere": refused, "loop": "too many levels", "gone": "no such file beside the model: put it there",
		},
		"../../chain.onnx": {
			"w": []float32{1}, "below": []float32{2}, "same name": []float32{3},
			"elsewhere": "no such file", "loop": "no such file", "gone": "no such file",
		},
		// It lies in the folder itself, so that no link out of that is followed.
		"regular.onnx": {
			"w": refused, "below": refused, "same name": "no such file", "elsewhere": refused, "loop": "too many levels", "gone": "no such file",
		},
	} {
		f, err := Open(filepath.Join(dir, "snapshots/1", name))
		check(t, err)
		for i := range f.Graph.Initializers {
			x := &f.Graph.Initializers[i]
			v, _, err := x.Float32s()
			if want, fails := wants[x.Name].(string); fails {
				wantError(t, err, want)
			} else if d := cmp.Diff(wants[x.Name], v); d != "" || err != nil {
				t.Errorf("%s of %s: %v (-want +got):\n%s", x.Name, name, err, d)
			}
		}
		check(t, f.Close())
	}
}

func TestRelocateExternal(t *testing.T) {
	big := make([]float32, 2000)
	for i := range big {
		big[i] = float32(i)
	}
	model := modelOf(
		outside("a", "old.bin", 2, "checksum", "00", "vendor", "kept", "offset", "0"),
		bytesField(5, tensorOf(Float32, []int64{1}, bytesField(9, le([]float32{1})))),
		outside("big", "old.bin", 2000, "offset", "8", "length", "8000"),
		bytesField(1, stringField(4, "Constant"), bytesField(5, stringField(1, "value"),
			bytesField(5, outside("c", "old.bin", 1, "offset", "4")[2:]), uintField(20, 4))),
	)
	f, dir := saved(t, map[string][]byte{"m.onnx": model, "old.bin": append(le([]float32{1, 2}), le(big)...)})
	if !f.HasExternal() || mustParse(t, modelOf()).HasExternal() {
		t.Error("HasExternal is wrong")
	}
	p := NewPatch(f)
	check(t, p.ReplaceInitializer(0, payload32(7, 8)))
	_, err := p.WriteTo(&bytes.Buffer{})
	wantError(t, err, "a new data file must be named")
	wantError(t, p.RelocateExternal("../new.bin"), "outside the model's folder")
	check(t, p.RelocateExternal("new.bin"))
	wantError(t, p.RelocateExternal("new.bin"), "twice")
	check(t, os.WriteFile(filepath.Join(dir, "out.onnx"), written(t, p), 0o644))
	var data bytes.Buffer
	n, err := p.WriteExternal(&data)
	check(t, err)
	if n != int64(data.Len()) || n != 12096+4 {
		t.Errorf("data file has %d bytes, %d reported", data.Len(), n)
	}
	check(t, os.WriteFile(filepath.Join(dir, "new.bin"), data.Bytes(), 0o644))
	check(t, os.Remove(filepath.Join(dir, "old.bin")))

	g, err := Open(filepath.Join(dir, "out.onnx"))
	check(t, err)
	defer g.Close()
	for i, want := range []struct {
		at     Location
		values []float32
	}{
		{Location{Path: "new.bin", Offset: 0, Length: 8}, []float32{7, 8}},
		{Location{Path: "new.bin", Offset: 4096, Length: 8000}, big},
		{Location{Path: "new.bin", Offset: 12096, Length: 4}, []float32{2}},
	} {
		x := []*Tensor{&g.Graph.Initializers[0], &g.Graph.Initializers[2], g.Graph.Nodes[0].Attributes[0].T}[i]
		v, _, err := x.Float32s()
		check(t, err)
		if d := cmp.Diff(want.at, *x.External); d != "" {
			t.Errorf("%s: location (-want +got):\n%s", x.Name, d)
		}
		if d := cmp.Diff(want.values, v); d != "" {
			t.Errorf("%s: elements (-want +got):\n%s", x.Name, d)
		}
	}
	if !bytes.Contains(g.data, []byte("vendor")) {
		t.Error("an entry with an unknown key was dropped")
	}
}

// An initializer that was taken out is neither in the model nor in the new data file.
func TestRelocateExternalWithoutRemoved(t *testing.T) {
	model := modelOf(outside("a", "old.bin", 1, "offset", "0"), outside("b", "old.bin", 1, "offset", "4"))
	f, dir := saved(t, map[string][]byte{"m.onnx": model, "old.bin": le([]float32{1, 2})})
	p := NewPatch(f)
	check(t, p.RemoveInitializer(0))
	check(t, p.RelocateExternal("new.bin"))
	check(t, os.WriteFile(filepath.Join(dir, "out.onnx"), written(t, p), 0o644))
	var data bytes.Buffer
	_, err := p.WriteExternal(&data)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "new.bin"), data.Bytes(), 0o644))
	g, err := Open(filepath.Join(dir, "out.onnx"))
	check(t, err)
	defer g.Close()
	if len(g.Graph.Initializers) != 1 || data.Len() != 4 {
		t.Fatalf("%d initializers and %d bytes, want 1 and 4", len(g.Graph.Initializers), data.Len())
	}
	v, _, err := g.Graph.Initializers[0].Float32s()
	check(t, err)
	if d := cmp.Diff([]float32{2}, v); d != "" {
		t.Errorf("elements (-want +got):\n%s", d)
	}
}

// A data file that vanished or shrank before the output is written is an error.
func TestWriteExternalFails(t *testing.T) {
	f, _ := saved(t, map[string][]byte{"m.onnx": modelOf(outside("a", "gone.bin", 2))})
	p := NewPatch(f)
	check(t, p.RelocateExternal("new.bin"))
	_, err := p.WriteExternal(&bytes.Buffer{})
	wantError(t, err, "no such file")
	p = NewPatch(mustParse(t, modelOf(outside("a", "d", -1))))
	wantError(t, p.RelocateExternal("new.bin"), "negative dimension")
}

func TestRelocateExternalRefuses(t *testing.T) {
	inner := outside("t", "d", 1)[2:]
	for name, graph := range map[string][]byte{
		"subgraph":  bytesField(1, bytesField(5, bytesField(6, bytesField(5, inner)))),
		"in a node": bytesField(1, bytesField(5, bytesField(6, bytesField(1, bytesField(5, bytesField(5, inner)))))),
		"sparse":    bytesField(15, bytesField(1, inner)),
		"indices":   bytesField(15, bytesField(2, inner)),
		"in sparse": bytesField(1, bytesField(5, bytesField(6, bytesField(15, bytesField(1, inner), bytesField(2))))),
		"attribute": bytesField(1, bytesField(5, bytesField(22, bytesField(1, inner)))),
		"tensors":   bytesField(1, bytesField(5, bytesField(10, inner))),
	} {
		p := NewPatch(mustParse(t, modelOf(graph)))
		if err := p.RelocateExternal("new"); err == nil {
			t.Errorf("%s: external data that cannot be moved was accepted", name)
		}
	}
	function := bytesField(25, bytesField(7, bytesField(5, bytesField(5, inner))))
	wantError(t, NewPatch(mustParse(t, join(modelOf(), function))).RelocateExternal("new"), "local function")
}
