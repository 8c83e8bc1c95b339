//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func multiplySingle512(p *multiply)
#define NAME ·multiplySingle512
#define SIZE 4
#define ALPHA multiply_single
#define MOVE VMOVUPS
#define BROADCAST VBROADCASTSS
#define FMA VFMADD231PS
#define MUL VMULPS
#define ADD VADDPS

#include "multiply512.h"
