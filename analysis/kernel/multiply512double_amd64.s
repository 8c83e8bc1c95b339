//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func multiplyDouble512(p *multiply)
#define NAME ·multiplyDouble512
#define ALPHA multiply_double

#include "double.h"
#include "multiply512.h"
