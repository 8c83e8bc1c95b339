//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func multiplySingle512(p *multiply)
#define NAME ·multiplySingle512
#define ALPHA multiply_single

#include "single.h"
#include "multiply512.h"
