// Package write makes the bytes of a network: edits of the file that it was read from, as
// small as they can be, or a new file.
package write
