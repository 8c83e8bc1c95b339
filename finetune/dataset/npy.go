package dataset

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/sbinet/npyio/npy"

	"github.com/relupath/relupath/internal/words"
)

// npyKinds are NumPy's type strings without the byte order.
var npyKinds = map[string]*kind{
	"b1": kindBool, "u1": kindU8, "i1": kindI8, "u2": kindU16, "i2": kindI16, "u4": kindU32, "i4": kindI32,
	"u8": kindU64, "i8": kindI64, "f4": kindF32, "f8": kindF64,
}

// maxNPYHeader bounds the header; NumPy itself refuses to read one of more than
// 10000 bytes.
const maxNPYHeader = 1 << 16

// readNPY reads a NumPy array into row-major order. The header is parsed by
// npyio, the elements are not: npyio takes a file that ends early for one that
// goes on with zeros.
func readNPY(s *source) (*array, error) {
	head, err := readNPYHeader(s)
	if err != nil {
		return nil, err
	}
	a := &array{file: s.name, shape: head.Descr.Shape, order: binary.LittleEndian}
	name := strings.TrimLeft(head.Descr.Type, "<>|=")
	if strings.HasPrefix(head.Descr.Type, ">") {
		a.order = binary.BigEndian
	}
	what := fmt.Sprintf("the array of shape %v and type %s", a.shape, head.Descr.Type)
	if size, runes := textSize(name); size > 0 {
		return a, a.loadTexts(s, size, runes, what)
	}
	if a.kind = npyKinds[name]; a.kind == nil {
		return nil, wrong(s.name, "", fmt.Sprintf("element type %q is not supported", head.Descr.Type),
			"convert the array with astype('float32'), or astype('int64') or astype('str') for labels")
	}
	return a, a.load(s, head.Descr.Fortran, what)
}

// readNPYHeader reads magic number, version and dictionary.
func readNPYHeader(s *source) (h npy.Header, err error) {
	const fixed = 8 // magic number and version
	unread := wrong(s.name, "", "the NumPy header cannot be read", "write the file with numpy.save")
	head, err := s.read(fixed, "the NumPy header")
	if err != nil {
		return h, err
	}
	width := 2
	if head[6] > 1 {
		width = 4
	}
	count, err := s.read(int64(width), "the NumPy header")
	if err != nil {
		return h, err
	}
	n := int64(binary.LittleEndian.Uint32(append(count, 0, 0)))
	if !bytes.Equal(head[:6], npy.Magic[:]) || n > maxNPYHeader {
		return h, unread.because(npy.ErrInvalidNumPyFormat)
	}
	dict, err := s.read(n, "the NumPy header")
	if err != nil {
		return h, err
	}
	// npyio slices the dictionary at the places where it expects its keys, and
	// panics where a damaged header has them elsewhere.
	defer func() {
		if r := recover(); r != nil {
			err = unread.because(fmt.Errorf("%v", r))
		}
	}()
	// It also wants the dictionary to end as NumPy's own do.
	dict = append(bytes.TrimRight(dict, "},\x00 \n"), ", }\n"...)
	count = binary.LittleEndian.AppendUint32(nil, uint32(len(dict)))
	r, err := npy.NewReader(bytes.NewReader(bytes.Join([][]byte{head, count[:width], dict}, nil)))
	if err != nil {
		return h, unread.because(err)
	}
	return r.Header, nil
}

// loadNPY reads a file of examples and one of labels.
func loadNPY(ctx context.Context, spec Spec, _ Split) (*table, error) {
	xs, err := fromFile(ctx, spec.Paths[0], spec.Limit, false, readNPY)
	if err != nil {
		return nil, err
	}
	ys, err := fromFile(ctx, spec.Paths[1], spec.Limit, labelled(spec), readNPY)
	if err != nil {
		return nil, err
	}
	return pair(xs, ys, spec)
}

// labelled says whether targets may be class labels that tell which classes there are.
func labelled(spec Spec) bool { return spec.Task != Regression && spec.Classes == nil }

// pair makes a table of examples and labels. Labels that a list of classes names may be
// any numbers or texts.
func pair(x, y *array, spec Spec) (*table, error) {
	t, err := x.examples()
	if err != nil {
		return nil, err
	}
	task := spec.Task
	if spec.Classes != nil && y.texts == nil {
		task = Regression
	}
	return t, t.labelled(y, task, 0)
}

// loadNPZ reads the arrays x and y of an archive, those of a split, or those that the spec names.
func loadNPZ(ctx context.Context, spec Spec, split Split) (*table, error) {
	path := spec.Paths[0]
	f, info, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, wrong(path, "", "is not a NumPy archive", "write it with numpy.savez").because(err)
	}
	members, exact := map[string]*zip.File{}, map[string]*zip.File{}
	var names []string
	for _, m := range z.File {
		name := strings.TrimSuffix(m.Name, ".npy")
		members[strings.ToLower(name)], exact[name] = m, m
		names = append(names, name)
	}
	suffix := "_" + string(split)
	if spec.Split == "" && (spec.X != "" || members["x"] != nil) && (spec.Y != "" || members["y"] != nil) {
		suffix = ""
	}
	x, y := members["x"+suffix], members["y"+suffix]
	named := spec.X != "" || spec.Y != ""
	if spec.X != "" {
		x = exact[spec.X]
	}
	if spec.Y != "" {
		y = exact[spec.Y]
	}
	if x == nil || y == nil {
		want := cmp.Or(spec.X, "x"+suffix) + " and " + cmp.Or(spec.Y, "y"+suffix)
		if spec.Split == "" && !named {
			want = "x and y, or " + want
		}
		return nil, wrong(path, "", fmt.Sprintf("the archive holds %s, want %s", list(names), want),
			"name its arrays with x=NAME,y=NAME, or write it with numpy.savez(file, x=..., y=...)")
	}
	xs, err := readMember(ctx, path, x, spec.Limit, false)
	if err != nil {
		return nil, err
	}
	ys, err := readMember(ctx, path, y, spec.Limit, labelled(spec))
	if err != nil {
		return nil, err
	}
	t, err := pair(xs, ys, spec)
	if err == nil && (suffix != "" && !named || spec.Share == 0 && spec.Split != "") {
		t.split = split
	}
	return t, err
}

// list names up to ten members of an archive.
func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return words.Some(names, 10)
}

// readMember reads one array of an archive, of the first limit examples unless that
// is 0.
func readMember(ctx context.Context, path string, m *zip.File, limit int, labels bool) (*array, error) {
	name := path + " (" + m.Name + ")"
	r, err := m.Open()
	if err != nil {
		return nil, wrong(name, "", "cannot be unpacked", "write the archive with numpy.savez").because(err)
	}
	defer r.Close()
	// The sizes in the directory may be wrong: reading checks the packed one, and
	// the largest possible ratio of compression bounds the unpacked one.
	size := inflated(int64(min(m.CompressedSize64, 1<<62)))
	s := plainSource(ctx, name, r, int64(min(m.UncompressedSize64, uint64(size))))
	s.limit, s.labels, s.packed, s.size = limit, labels, true, int64(min(m.CompressedSize64, 1<<62))
	return readNPY(s)
}
