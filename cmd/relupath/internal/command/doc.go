// Package command is the command line of relupath: one file a subcommand, with
// its options, its flags and what it does. The streams are in streams.go, what
// becomes of an error in errors.go, the flags that every command takes in
// root.go, the writing of files in save.go, labelled data in data.go. Numbers
// come from analysis, files from onnxio, and characters from render.
//
// To add a command: a file with an options struct, a method of app that returns
// its cobra.Command, and a run method; its name in the list of app.root. Short,
// Long and Example are wanted, and every line of Example is run by a test in a
// folder with the files of exampleFiles. The result is one value of a struct with
// JSON tags and a schema, described once as a render.Document and written by
// app.report, so that every format comes for nothing. Errors: usagef for a
// command line that makes no sense (exit code 2), invalidf for data that cannot
// be used (3), anything else is 1; a cancelled context is 130, after what can be
// kept is kept. Files are written by app.save, which overwrites nothing without
// --force, and leaves nothing half written.
package command
