package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/kernel"
)

func TestInOrder(t *testing.T) {
	var got []int
	var most, now atomic.Int32
	err := inOrder(context.Background(), 3, 40, func(i int) (int, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		// Later ones are quicker.
		time.Sleep(time.Duration(40-i) * 100 * time.Microsecond)
		if i == 5 {
			return 0, errors.New("bad")
		}
		return i * i, nil
	}, func(i, v int, err error) error {
		if (err != nil) != (i == 5) || err == nil && v != i*i {
			t.Errorf("index %d: %d, %v", i, v, err)
		}
		got = append(got, i)
		return nil
	})
	if err != nil || len(got) != 40 || !slices.IsSorted(got) || most.Load() > 3 {
		t.Errorf("%v, %d at a time: %v", got, most.Load(), err)
	}
}

// TestInOrderStops keeps every index after the one that ends the run waiting
// until it has ended it: how far the second goroutine gets in the meantime is
// otherwise the scheduler's choice.
func TestInOrderStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	taken := 0
	err := inOrder(ctx, 2, 1000, func(i int) (int, error) {
		switch {
		case i == 10:
			cancel()
		case i > 10:
			<-ctx.Done()
		}
		return i, nil
	}, func(int, int, error) error { taken++; return nil })
	if !errors.Is(err, context.Canceled) || taken < 11 || taken > 12 {
		t.Errorf("%d taken, error %v", taken, err)
	}

	full := errors.New("disk full")
	refused := make(chan struct{})
	begun := atomic.Int32{}
	err = inOrder(context.Background(), 2, 1000, func(i int) (int, error) {
		begun.Add(1)
		if i > 3 {
			<-refused
		}
		return i, nil
	}, func(i, _ int, _ error) error {
		if i == 3 {
			close(refused)
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || begun.Load() < 4 || begun.Load() > 5 {
		t.Errorf("%d begun, error %v", begun.Load(), err)
	}
}

// TestPanicIsOfOne: a panic costs the result that it comes from, and has an exit
// code of its own, on whatever goroutine it is.
func TestPanicIsOfOne(t *testing.T) {
	for _, threads := range []int{1, 2} {
		var got []string
		err := inOrder(context.Background(), 2, 3, func(i int) (int, error) {
			kernel.Parallel(2, threads, 1, func(lo, _ int) {
				if i == 1 && lo == threads-1 {
					panic("index out of range")
				}
			})
			return i, nil
		}, func(i, v int, err error) error {
			got = append(got, fmt.Sprint(v, codeOf(err)))
			if err != nil && (!strings.Contains(err.Error(), "a mistake in relupath") || strings.Contains(err.Error(), "\n") ||
				!strings.Contains(message(err, ""), "TestPanicIsOfOne")) {
				t.Errorf("%s", message(err, ""))
			}
			return nil
		})
		if diff := cmp.Diff([]string{"0 0", "0 70", "2 0"}, got); err != nil || diff != "" {
			t.Error(err, diff)
		}
	}
	var errs bytes.Buffer
	a := &app{streams: streams{err: &errs}, format: "json"}
	broken := newFailure("b.onnx", recovered(func() error { panic("no") }))
	if err := a.failures([]failure{broken, newFailure("c.onnx", errors.New("x"))}, 3); codeOf(err) != codeInternal || !strings.Contains(errs.String(), "goroutine") {
		t.Errorf("%v: %s", err, &errs)
	}
}
