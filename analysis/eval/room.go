package eval

import (
	"fmt"
	"sync"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/memory"
)

// limit is the bytes that values may take. Tests set it.
var limit = sync.OnceValue(memory.Limit)

// room refuses a network of which the values of one sample that are there at a time take more than
// the memory: with the least of the buffers that are made, and none for what layers make of their
// operands on the way.
func (ev *evaluator) room(needed []bool, want []int) error {
	nodes, all := ev.net.Nodes, limit()
	total := int64(0)
	for i := range nodes {
		if needed[i] {
			total += int64(ev.elements(i))
		}
	}
	if total <= all/8 {
		return nil
	}
	last := lastReaders(ev.net, needed, want)
	of := make([]int, len(nodes)) // whose numbers a value is: a change of shape makes none
	for i := range nodes {
		of[i] = i
		if s, ok := nodes[i].Op.(*dag.Select); ok && s.Index == nil && needed[i] {
			of[i] = of[nodes[i].In[0]]
			last[of[i]] = max(last[of[i]], last[i])
		}
	}
	leave := make([][]int, len(nodes)+1) // values, by the last node that reads them
	for j, i := range last {
		if needed[j] && of[j] == j {
			leave[i] = append(leave[i], j)
		}
	}
	var there, most int64
	var where int
	for i := range nodes {
		if !needed[i] || of[i] != i {
			continue
		}
		now := there
		there += int64(ev.elements(i))
		if in := nodes[i].In; len(in) == 0 || !ev.alone[in[0]] || ev.elements(in[0]) != ev.elements(i) {
			now = there // not in the place of its operand
		}
		if now > most {
			most, where = now, i
		}
		for _, j := range leave[i] {
			there -= int64(ev.elements(j))
		}
	}
	if most > all/8 {
		return fmt.Errorf("eval: the values of one sample take %d MiB at %s, and there are %d MiB of memory: give a smaller input", most>>17, nodes[where].Label(), all>>20)
	}
	return nil
}
