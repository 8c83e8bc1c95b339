//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func multiplySingle256(p *multiply)
#define NAME ·multiplySingle256
#define ALPHA multiply_single

#include "single.h"
#include "multiply256.h"
