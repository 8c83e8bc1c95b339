//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func multiplySingle256(p *multiply)
#define NAME ·multiplySingle256
#define SIZE 4
#define ALPHA multiply_single
#define MOVE VMOVUPS
#define BROADCAST VBROADCASTSS
#define FMA VFMADD231PS
#define MUL VMULPS
#define ADD VADDPS

#include "multiply256.h"
