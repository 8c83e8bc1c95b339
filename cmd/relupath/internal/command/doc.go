// Package command is the command line of relupath: one file a subcommand, with
// its options, its flags and what it does. The streams are in streams.go, what
// becomes of an error in errors.go, the flags that every command takes in
// root.go, the writing of files in save.go. Numbers come from analysis, files
// from onnxio, and characters from render.
package command
