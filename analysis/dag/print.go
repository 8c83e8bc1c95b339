package dag

import (
	"fmt"
	"strings"
)

// String prints the network, one node a line, for goldens and debugging:
//
//	%3 = Linear 32x784 +bias "fc1" (Gemm) %2 [32] body
func (n *Network) String() string {
	var b strings.Builder
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		fmt.Fprintf(&b, "%%%d = %s", i, Describe(nd))
		if nd.Name != "" {
			fmt.Fprintf(&b, " %q", nd.Name)
		}
		if nd.Source != "" {
			fmt.Fprintf(&b, " (%s)", nd.Source)
		}
		for _, j := range nd.In {
			fmt.Fprintf(&b, " %%%d", j)
		}
		fmt.Fprintf(&b, " %v %s\n", nd.Shape, nd.Zone)
	}
	for _, p := range n.Outputs {
		fmt.Fprintf(&b, "output %q = %%%d\n", p.Name, p.Node)
	}
	return b.String()
}

// Describe says what a node computes in a few words: "Linear 32x784 +bias",
// "ReLU", "LeakyReLU 0.01", "Conv 16x3 3x3".
func Describe(nd *Node) string { return nd.Op.describe() }

func times(k []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(k), "[]"), " ", "x")
}
