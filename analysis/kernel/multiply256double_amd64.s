//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func multiplyDouble256(p *multiply)
#define NAME ·multiplyDouble256
#define ALPHA multiply_double

#include "double.h"
#include "multiply256.h"
