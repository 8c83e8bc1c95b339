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
func Describe(nd *Node) string {
	switch op := nd.Op.(type) {
	case *Linear:
		return op.describe()
	case *Activation:
		return op.describe()
	case *Cap:
		return op.describe()
	case *Pool:
		if op.Window != nil {
			return "MaxPool " + times(op.Window.Kernel)
		}
		return "Max"
	case *Select:
		if op.Index == nil {
			return "Reshape"
		}
	}
	return nd.Op.kind()
}

func (a *Activation) describe() string {
	switch {
	case a.Param != nil:
		return fmt.Sprintf("PReLU of %d", a.Param.Param.Len())
	case len(a.Slope) != 1:
		return "LeakyReLU by element"
	case a.Slope[0] == 0:
		return "ReLU"
	case a.Slope[0] == 1:
		return "Identity"
	}
	return fmt.Sprintf("LeakyReLU %g", a.Slope[0])
}

func (l *Linear) describe() string {
	s := "Constant"
	switch m := l.Map.(type) {
	case *Dense:
		s = fmt.Sprintf("Linear %dx%d", m.Rows, m.Cols)
	case *Conv:
		s = fmt.Sprintf("Conv %dx%d %s", m.OutChannels, m.InChannels/m.Groups, times(m.Window.Kernel))
		if m.Transposed {
			s = "Transposed" + s
		}
	case *Diagonal:
		s = fmt.Sprintf("Diagonal %d", m.Axis.N)
	case *Average:
		s = "AveragePool " + times(m.Window.Kernel)
	}
	for _, st := range l.Stages {
		if st.Norm != nil {
			s += " +norm"
		}
		if st.Mul != nil {
			s += " *scale"
		}
		if st.Add != nil {
			s += " +bias"
		}
	}
	return s
}

func times(k []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(k), "[]"), " ", "x")
}
