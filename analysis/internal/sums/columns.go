package sums

import "sync"

// columnSums gathers the sums along columns of chunks of rows. While a goroutine is
// held up, each chunk that others finish meanwhile keeps a list of cols numbers a
// series.
type columnSums struct {
	series []*series
	cols   int

	mu      sync.Mutex
	total   [][]float64 // of chunks [0, done), a list a series
	done    int
	waiting map[int][][]float64 // of chunks beyond
	free    [][][]float64
}

// take returns a list of zeros a series.
func (c *columnSums) take() [][]float64 {
	c.mu.Lock()
	var acc [][]float64
	if n := len(c.free); n > 0 {
		acc, c.free = c.free[n-1], c.free[:n-1]
	}
	c.mu.Unlock()
	if acc == nil {
		acc = make([][]float64, len(c.series))
		for k := range acc {
			acc[k] = make([]float64, c.cols)
		}
	}
	for _, x := range acc {
		clear(x) // new ones too: a page that is read first is faulted in twice
	}
	return acc
}

// give adds the sums of chunk k, which the caller must not use any more.
func (c *columnSums) give(k int, acc [][]float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[k] = acc
	for first, ok := c.waiting[c.done]; ok; first, ok = c.waiting[c.done] {
		delete(c.waiting, c.done)
		c.done++
		if c.total == nil {
			c.total = first
			continue
		}
		for i, s := range c.series {
			sum, x := c.total[i], first[i][:c.cols]
			for j := range sum {
				sum[j] = s.join(sum[j], x[j])
			}
		}
		c.free = append(c.free, first)
	}
}
