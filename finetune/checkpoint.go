package finetune

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/internal/outfile"
	"github.com/relupath/relupath/internal/words"
)

// CheckpointName is the file that a run keeps in its checkpoint folder.
const CheckpointName = "checkpoint.relupath"

// A checkpoint is
//
//	magic    8 bytes, the last one the version
//	length   8 bytes, little endian, of the header
//	header   JSON: see checkpointHeader
//	arrays   little endian numbers, in the header's order
//	sum      4 bytes, CRC-32C of all before it
const checkpointMagic = "relupck\x02"

// castagnoli is made on first use, since most commands need no checksum.
var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

type checkpointHeader[T program.Float] struct {
	// Network, Options, Data and Test tell what the run is of.
	Network string     `json:"network"`
	Options []setting  `json:"options"`
	Data    string     `json:"data"`
	Test    string     `json:"test"`
	State   state      `json:"state"`
	Arrays  []array[T] `json:"arrays"`
	// Sums holds the exponents of AdaGrad's sums by tensor.
	Sums []optim.State[T] `json:"sums"`
}

// setting is an option that must not change between the parts of a run.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// array is a slice with a name.
type array[T program.Float] struct {
	Name string `json:"name"`
	Len  int    `json:"len"`
	data []T
}

// arrays lists everything that a checkpoint holds besides its header.
func (c *loop[T]) arrays(best [][]T) []array[T] {
	var out []array[T]
	add := func(t int, what string, data []T) {
		if data != nil {
			out = append(out, array[T]{fmt.Sprintf("%d %s", t, what), len(data), data})
		}
	}
	for t, x := range c.prog.Tensors {
		if x.Frozen {
			continue
		}
		s := c.rule.States()[t]
		add(t, "weights", x.Data)
		add(t, "velocity", s.Velocity)
		add(t, "sum", s.Sum)
	}
	for t, b := range best {
		add(t, "best", b)
	}
	return out
}

// fingerprint identifies a network by its structure and its stored values.
func (c *loop[T]) fingerprint() string {
	h := sha256.New()
	fmt.Fprintln(h, c.prog.Net)
	buf := make([]byte, 0, 1<<16)
	for _, p := range c.prog.Net.Params() {
		sum := crc32.New(castagnoli())
		for lo := 0; lo < p.Len(); lo += 1 << 13 {
			buf = p.AppendRaw(buf[:0], lo, min(lo+1<<13, p.Len()))
			sum.Write(buf)
		}
		fmt.Fprintln(h, p.Name, p.Type, p.Shape, sum.Sum32())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// settings lists the options on which every bit of a run depends.
func (t *loop[T]) settings() []setting {
	o := &t.opt
	var out []setting
	add := func(name string, value any) { out = append(out, setting{name, fmt.Sprint(value)}) }
	add("optimizer", o.Optimizer)
	add("p", o.P)
	add("bias", o.Bias)
	add("step size", o.Rate)
	add("decay of the step size", o.RateDecay)
	add("normalised step", o.Normalize == NormalizeOn)
	add("momentum", [3]float64{o.Momentum, o.MomentumRise, o.MomentumMax})
	add("weight decay", o.WeightDecay)
	add("path penalty", o.PathPenalty)
	add("largest norm", o.MaxNorm)
	add("zeros kept", o.KeepZeros)
	add("dropout", o.Dropout)
	add("loss", o.Loss)
	add("margin", o.Margin)
	add("output", t.net.Nodes[t.what.Logits].Ref())
	add("frozen layers", t.what.Freeze)
	add("classes", t.train.ClassNames())
	add("batch", o.Batch)
	add("training loss after the epoch", o.EvalTrain)
	add("patience", o.Patience > 0)
	add("seed", o.Seed)
	add("engine", t.eng.Name())
	return out
}

// dataName names examples by their content.
func dataName(s *dataset.Set) string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%s, %s of %v, digest %.12s", s.Name(), words.Count(s.Len(), "example"), s.Shape(), s.Digest())
}

// lock takes the checkpoint's folder until unlock is called. Errors: another
// process has it, or has put its checkpoint there since New.
func (t *loop[T]) lock() (unlock func(), err error) {
	if t.opt.Checkpoint == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(t.opt.Checkpoint, 0o777); err != nil {
		return nil, fmt.Errorf("finetune: checkpoint: %w", err)
	}
	if unlock, err = outfile.Lock(t.opt.Checkpoint); err != nil {
		return nil, fmt.Errorf("finetune: the checkpoint's folder %w", err)
	}
	if _, err := os.Stat(t.checkpoint()); err == nil && t.vacant && !t.opt.Resume {
		unlock()
		return nil, fmt.Errorf("finetune: another run has just put its checkpoint into %s: give another folder", t.opt.Checkpoint)
	}
	t.names = [2]string{dataName(t.train), dataName(t.opt.Test)}
	return unlock, nil
}

func (t *loop[T]) checkpoint() string { return filepath.Join(t.opt.Checkpoint, CheckpointName) }

// save writes the checkpoint: the last one stays whole whatever happens.
func (t *loop[T]) save() error {
	if t.opt.Checkpoint == "" {
		return nil
	}
	if err := t.eng.Sync(); err != nil {
		return err
	}
	if err := outfile.Write(t.checkpoint(), t.write); err != nil {
		return fmt.Errorf("finetune: the checkpoint could not be written, the one before it is whole: %w", err)
	}
	return nil
}

func (t *loop[T]) write(f io.Writer) error {
	h := checkpointHeader[T]{Arrays: t.arrays(t.best), Network: t.fingerprint(), Options: t.settings(), Data: t.names[0], Test: t.names[1], State: t.state, Sums: t.rule.States()}
	head, err := json.Marshal(&h)
	if err != nil {
		return err
	}
	sum := crc32.New(castagnoli())
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16)
	// The first error stays and is that of Flush.
	prefix := binary.LittleEndian.AppendUint64([]byte(checkpointMagic), uint64(len(head)))
	_, _ = w.Write(append(prefix, head...))
	for _, a := range h.Arrays {
		for part := range slices.Chunk(a.data, piece) {
			_ = binary.Write(w, binary.LittleEndian, part)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return binary.Write(f, binary.LittleEndian, sum.Sum32())
}

// restore reads the checkpoint, if there is one.
func (t *loop[T]) restore() error {
	path := t.checkpoint()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finetune: checkpoint: %w", err)
	}
	defer f.Close()
	if err := t.read(f); err != nil {
		return fmt.Errorf("finetune: checkpoint %s: %w", path, err)
	}
	return nil
}

var errDamaged = errors.New("it is damaged: remove it to start again")

func (t *loop[T]) read(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	buffered := bufio.NewReaderSize(f, 1<<16)
	sum := crc32.New(castagnoli())
	r := io.TeeReader(buffered, sum)
	prefix := make([]byte, len(checkpointMagic)+8)
	if _, err := io.ReadFull(r, prefix); err != nil || !bytes.HasPrefix(prefix, []byte(checkpointMagic[:7])) {
		return errors.New("it is no checkpoint")
	}
	if v := prefix[7]; v != checkpointMagic[7] {
		return fmt.Errorf("it has version %d, this program reads version %d: resume with the program that wrote it", v, checkpointMagic[7])
	}
	length := binary.LittleEndian.Uint64(prefix[8:])
	if length > uint64(info.Size()) {
		return errDamaged
	}
	head := make([]byte, length)
	var h checkpointHeader[T]
	if _, err := io.ReadFull(r, head); err != nil || json.Unmarshal(head, &h) != nil {
		return errDamaged
	}
	if err := t.same(&h); err != nil {
		return err
	}
	if err := t.readArrays(r, &h); err != nil {
		return err
	}
	want := sum.Sum32()
	var got uint32
	if err := binary.Read(buffered, binary.LittleEndian, &got); err != nil || got != want || !h.State.valid(t.train.Len()) {
		return errDamaged
	}
	for k, s := range h.Sums {
		of := &t.rule.States()[k]
		of.SumExp, of.SumSet = s.SumExp, s.SumSet
	}
	t.state = h.State
	return nil
}

// same checks that a checkpoint is of this run.
func (t *loop[T]) same(h *checkpointHeader[T]) error {
	if h.Network != t.fingerprint() {
		return errors.New("it belongs to another model: give the model that the run began with, or another folder")
	}
	for k, began := range [2]string{h.Data, h.Test} {
		if got := t.names[k]; began != got {
			return fmt.Errorf("the run began with other %sdata (%s, now %s): give the same data, or another folder", [2]string{"", "test "}[k], began, got)
		}
	}
	now := t.settings()
	if len(now) != len(h.Options) {
		return errDamaged
	}
	for k, s := range h.Options {
		if s != now[k] {
			return fmt.Errorf("the run began with %s %s, now it is %s: give the same, or another folder", s.Name, s.Value, now[k].Value)
		}
	}
	return nil
}

// readArrays fills the tensors. If the checksum turns out wrong they hold bad
// numbers, and the run ends with the error.
func (t *loop[T]) readArrays(r io.Reader, h *checkpointHeader[T]) error {
	if h.State.BestEpoch > 0 {
		t.best = t.keep(t.best)
	}
	arrays := t.arrays(t.best)
	like := func(a, b array[T]) bool { return a.Name == b.Name && a.Len == b.Len }
	if !slices.EqualFunc(arrays, h.Arrays, like) || len(h.Sums) != len(t.rule.States()) {
		return errDamaged
	}
	for _, a := range arrays {
		for part := range slices.Chunk(a.data, piece) {
			if err := binary.Read(r, binary.LittleEndian, part); err != nil {
				return errDamaged
			}
		}
	}
	return nil
}

// piece is how many numbers are converted at a time.
const piece = 1 << 12
