package outfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain makes this binary a process that dies with a draft or with a lock.
func TestMain(m *testing.M) {
	switch target := os.Getenv("OUTFILE_TEST_TARGET"); os.Getenv("OUTFILE_TEST_DO") {
	case "draft":
		d, err := New(target, Options{})
		if err == nil {
			err = os.WriteFile(d.Path("half"), []byte("half"), 0o644)
		}
		if err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("ready\n")
		_, _ = io.ReadAll(os.Stdin)
		os.Exit(9) // as a kill: nothing is removed
	case "lock":
		if _, err := Lock(target); err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("ready\n")
		_, _ = io.ReadAll(os.Stdin)
		os.Exit(9)
	}
	os.Exit(m.Run())
}

// process starts a process that makes a draft or takes a lock; die ends it.
func process(t *testing.T, do, target string) (die func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "OUTFILE_TEST_DO="+do, "OUTFILE_TEST_TARGET="+target)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if b := make([]byte, 6); true {
		if _, err := io.ReadFull(out, b); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestDraftsOfTheDead: the draft of a process that died is removed by the next
// writer in its folder, that of a living one is not.
func TestDraftsOfTheDead(t *testing.T) {
	dir := t.TempDir()
	die := process(t, "draft", filepath.Join(dir, "other"))
	write(t, filepath.Join(dir, "out"), "text")
	if got := names(t, dir); len(got) != 2 || !IsDraft(got[0]) {
		t.Fatalf("beside a living process there are %v", got)
	}
	die()
	d, err := New(filepath.Join(dir, "out"), Options{Unswept: true})
	if err != nil {
		t.Fatal(err)
	}
	d.Remove()
	if got := names(t, dir); len(got) != 2 || !IsDraft(got[0]) {
		t.Fatalf("after a draft that leaves the others there are %v", got)
	}
	write(t, filepath.Join(dir, "out"), "again")
	if diff := cmp.Diff([]string{"out"}, names(t, dir)); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil || string(text) != "again" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestDraftsOfOtherMachines: locks of another machine may not be seen here, so
// its drafts are left alone for a week.
func TestDraftsOfOtherMachines(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, prefix+"00000000-0123456789ab")
	if err := os.Mkdir(foreign, 0o777); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(foreign, lockName)
	if err := os.WriteFile(lock, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		age  time.Duration
		left int
	}{{6 * 24 * time.Hour, 2}, {8 * 24 * time.Hour, 1}} {
		then := time.Now().Add(-c.age)
		for _, path := range []string{lock, foreign} {
			if err := os.Chtimes(path, then, then); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(dir, "out"), "text")
		if got := names(t, dir); len(got) != c.left {
			t.Errorf("after %v there are %v", c.age, got)
		}
	}
}

// TestUndo: what a process put in place before it died is removed where nothing
// reads it: new files without their main one, stale ones after it.
func TestUndo(t *testing.T) {
	for name, c := range map[string]struct {
		draft, beside []string
		unread        func(string) bool
		want          []string
	}{
		"before the files":   {[]string{"m", "m.1"}, []string{"m", "m.0"}, nil, []string{"m", "m.0"}},
		"before the main":    {[]string{"m"}, []string{"m", "m.0", "m.1"}, nil, []string{"m", "m.0"}},
		"after the main":     {nil, []string{"m", "m.0", "m.1"}, nil, []string{"m", "m.1"}},
		"what is read stays": {nil, []string{"m", "m.0", "m.1"}, func(string) bool { return false }, []string{"m", "m.0", "m.1"}},
		"a file of another":  {[]string{"m", "m.1"}, []string{"m", "m.0", "m.1"}, nil, []string{"m", "m.0", "m.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d, err := New(filepath.Join(dir, "m"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range c.draft {
				if err := os.WriteFile(d.Path(f), []byte("new"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range c.beside {
				if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(d.Path(journalName), []byte(`{"Main":"m","Beside":["m.1"],"Stale":["m.0"]}`), 0o666); err != nil {
				t.Fatal(err)
			}
			_ = d.lock.Close() // dead
			write(t, filepath.Join(dir, "out"), "text")
			if got := names(t, dir); len(got) != len(c.beside)+2 {
				t.Fatalf("a writer who does not know who reads leaves %v", got)
			}
			unread := c.unread
			if unread == nil {
				unread = func(string) bool { return true }
			}
			next, err := New(filepath.Join(dir, "m"), Options{Unread: unread})
			if err != nil {
				t.Fatal(err)
			}
			next.Remove()
			if diff := cmp.Diff(append(c.want, "out"), names(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestPlace puts a pair in place, and nothing of it where a name is taken.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	for k, want := range [][]string{{"m", "m.1", "m.data"}, {"m", "m.1"}} {
		d, err := New(filepath.Join(dir, "m"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"m", "m.1", "m.data"} {
			if err := os.WriteFile(d.Path(f), bytes.Repeat([]byte("x"), k+1), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if k == 0 {
			err = d.Place(Files{Main: "m", Beside: []string{"m.1", "m.data"}})
		} else {
			err = errors.Join(d.Place(Files{Main: "m", Stale: []string{"m.data"}}))
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, names(t, dir)); diff != "" {
			t.Error(diff)
		}
	}
	d, err := New(filepath.Join(dir, "m"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"m", "m.0", "m.1"} {
		if err := os.WriteFile(d.Path(f), []byte("other"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Place(Files{Main: "m", Beside: []string{"m.0", "m.1"}}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a file that is there: %v", err)
	}
	d.Remove()
	if diff := cmp.Diff([]string{"m", "m.1"}, names(t, dir)); diff != "" {
		t.Error(diff)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "m")); err != nil || string(text) != "xx" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestLock: a folder has one process at a time, whose death frees it.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	die := process(t, "lock", dir)
	var inUse *InUseError
	if _, err := Lock(dir); !errors.As(err, &inUse) || !strings.Contains(err.Error(), "in use by process ") {
		t.Errorf("a second process: %v", err)
	}
	die()
	for range 2 {
		unlock, err := Lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Lock(dir); !errors.As(err, &inUse) {
			t.Errorf("a second time: %v", err)
		}
		unlock()
	}
	if got := names(t, dir); got != nil {
		t.Errorf("%v are left", got)
	}
}
