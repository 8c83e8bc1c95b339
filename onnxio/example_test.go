package onnxio_test

import (
	"bytes"
	"fmt"

	"github.com/relupath/relupath/onnxio"
	"github.com/relupath/relupath/testmodels"
)

// A model is read, one of its layers is scaled by 2 and the next by 1/2, and it is
// written again: another file of the same function.
func Example() {
	m, err := onnxio.Decode(testmodels.Bytes("toy"), onnxio.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	fmt.Println(m.Inputs[0].Name, m.Inputs[0].Shape, "opset", m.Opset)
	groups := m.Net.Groups()
	factors := groups.Ones()
	for id := range factors {
		if groups.Pin[id] == "" {
			factors[id] = 2
		}
	}
	scaled, err := m.Net.Rescale(groups, factors)
	if err != nil {
		fmt.Println(err)
		return
	}
	var out bytes.Buffer
	if err := m.Write(&out, scaled); err != nil {
		fmt.Println(err)
		return
	}
	again, err := onnxio.Decode(out.Bytes(), onnxio.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer again.Close()
	for i, p := range again.Net.Params() {
		fmt.Println(p.Name, m.Net.Params()[i].Values(), "->", p.Values())
	}
	// Output:
	// x [-1 2] opset 13
	// w1 [6 1 1 4] -> [12 2 2 8]
	// w2 [1 1 1 2] -> [0.5 0.5 0.5 1]
}
