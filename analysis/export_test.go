package analysis

// Normal is the form of a network that is measured.
var Normal = normal
