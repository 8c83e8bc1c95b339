package command

import (
	"io"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// What commands see of a file of a network. The format is named here and nowhere else in
// this package: a reader of another one stands beside onnxio in this file.
type (
	modelFile        = onnxio.Model
	readOptions      = onnxio.Options
	writeOptions     = onnxio.WriteOptions
	removal          = onnxio.Removal
	portInfo         = onnxio.PortInfo
	unsupportedError = onnxio.UnsupportedError
	invalidError     = onnxio.InvalidError
	fileObstacle     = onnxio.Obstacle
)

// readFile reads a network from a file, readBytes from what a stream gave.
func readFile(path string, opt readOptions) (*modelFile, error) { return onnxio.Read(path, opt) }

func readBytes(data []byte, opt readOptions) (*modelFile, error) { return onnxio.Decode(data, opt) }

// dataFiles lists the other files that a file of a network is read from.
func dataFiles(path string) ([]string, error) { return onnxio.DataFiles(path) }

// writeNetwork writes a network that came from no file.
func writeNetwork(w io.Writer, net *dag.Network) error { return onnxio.WriteNetwork(w, net) }
