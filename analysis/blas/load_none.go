//go:build noblas || !(linux || darwin)

package blas

func load() (*Engine, []string) { return nil, nil }
