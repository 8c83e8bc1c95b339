package topology

import (
	"container/heap"
	"sort"
	"strings"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// ready holds the nodes whose inputs are all computed, smallest first.
type ready struct{ sort.IntSlice }

func (r *ready) Push(x any) { r.IntSlice = append(r.IntSlice, x.(int)) }

func (r *ready) Pop() any {
	last := len(r.IntSlice) - 1
	x := r.IntSlice[last]
	r.IntSlice = r.IntSlice[:last]
	return x
}

// sort fills Order: of the nodes that can be computed next always the first in
// the file, so that a sorted file keeps its order.
func (g *Graph) sort(f *wire.File) error {
	waits := make([]int, len(g.Nodes))
	next := &ready{}
	for k := range g.Nodes {
		waits[k] = len(g.dependencies(k))
		if waits[k] == 0 {
			heap.Push(next, k)
		}
	}
	g.Order = make([]int, 0, len(g.Nodes))
	for next.Len() > 0 {
		k := heap.Pop(next).(int)
		g.Order = append(g.Order, k)
		for _, out := range g.Nodes[k].Outputs {
			if out == Absent {
				continue
			}
			for _, c := range g.Values[out].Consumers {
				if waits[c.Node]--; waits[c.Node] == 0 {
					heap.Push(next, c.Node)
				}
			}
		}
	}
	if len(g.Order) < len(g.Nodes) {
		return g.cycle(f, waits)
	}
	return nil
}

// dependencies lists the producers of what node k reads, once for each use.
func (g *Graph) dependencies(k int) []int {
	var out []int
	for _, ids := range [][]int{g.Nodes[k].Inputs, g.Nodes[k].Captures} {
		for _, id := range ids {
			if id != Absent && g.Values[id].Producer != nil {
				out = append(out, g.Values[id].Producer.Node)
			}
		}
	}
	return out
}

// maxNamed is how many nodes of a cycle a message names.
const maxNamed = 6

// cycle names the nodes of a cycle among those that wait.
func (g *Graph) cycle(f *wire.File, waits []int) error {
	k := 0
	for waits[k] == 0 {
		k++
	}
	// Walking back along unmet dependencies must come round.
	at := map[int]int{}
	var path []int
	for {
		if first, ok := at[k]; ok {
			path = path[first:]
			break
		}
		at[k] = len(path)
		path = append(path, k)
		for _, d := range g.dependencies(k) {
			if waits[d] > 0 {
				k = d
				break
			}
		}
	}
	var names []string
	for i := len(path) - 1; i >= 0 && len(names) < maxNamed; i-- {
		names = append(names, label(&f.Graph.Nodes[path[i]], path[i]))
	}
	if len(path) > maxNamed {
		names = append(names, "...")
	}
	last := path[len(path)-1]
	names = append(names, label(&f.Graph.Nodes[last], last))
	return nodeError(&f.Graph.Nodes[last], last, "it depends on itself: %s", strings.Join(names, " -> "))
}
