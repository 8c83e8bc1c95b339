// Package heap has the first memory of the process made in few steps. Initialising the packages
// that the program is linked with takes some three megabytes, and the first touch of each of their
// pages took a fifth of the time of a small file's audit. It imports next to nothing, so that it is
// initialised before them; whoever imports it needs no name of it.
package heap
