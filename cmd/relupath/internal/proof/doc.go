// Package proof shows by evaluation that two networks compute the same
// function: on random normal inputs, on inputs at the edges of what a network
// meets, and on inputs that the user gives. It compares the values that leave
// the homogeneous part, since a head (softmax, argmax) would hide differences
// or make jumps of them.
package proof
