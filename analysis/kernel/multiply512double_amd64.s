//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func multiplyDouble512(p *multiply)
#define NAME ·multiplyDouble512
#define SIZE 8
#define ALPHA multiply_double
#define MOVE VMOVUPD
#define BROADCAST VBROADCASTSD
#define FMA VFMADD231PD
#define MUL VMULPD
#define ADD VADDPD

#include "multiply512.h"
