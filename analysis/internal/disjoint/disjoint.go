// Package disjoint joins numbers to sets.
package disjoint

// Sets are disjoint sets of the numbers from 0 on: the path from each ends at the least of its set
// (Galler, Fischer, Communications of the ACM 7, 1964, with paths halved as they are walked).
type Sets []int32

// New makes n sets of one number each.
func New(n int) Sets {
	s := make(Sets, n)
	for i := range s {
		s[i] = int32(i)
	}
	return s
}

// Least returns the least number of i's set.
func (s Sets) Least(i int32) int32 {
	for s[i] != i {
		s[i] = s[s[i]]
		i = s[i]
	}
	return i
}

// Join makes one set of those of i and j.
func (s Sets) Join(i, j int32) {
	i, j = s.Least(i), s.Least(j)
	s[max(i, j)] = min(i, j)
}
