//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func multiplyDouble256(p *multiply)
#define NAME ·multiplyDouble256
#define SIZE 8
#define ALPHA multiply_double
#define MOVE VMOVUPD
#define BROADCAST VBROADCASTSD
#define FMA VFMADD231PD
#define MUL VMULPD
#define ADD VADDPD

#include "multiply256.h"
