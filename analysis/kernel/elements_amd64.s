//go:build amd64 && !purego

#include "textflag.h"

// The first two loops take 16 elements at a time; n is a multiple of 16 and not zero.

// An element that is a NaN stays one: the second source is the result of a comparison
// that fails, which in this order of operands is the first.
#define AFFINE(off, v) \
	VMULPD  off(SI), Y4, v \
	VADDPD  Y5, v, v       \
	VMINPD  v, Y7, v       \
	VMAXPD  v, Y6, v       \
	VMOVUPD v, off(DI)

// func affine(dst, x *float64, n int, s, b, lo, hi float64)
TEXT ·affine(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSD s+24(FP), Y4
	VBROADCASTSD b+32(FP), Y5
	VBROADCASTSD lo+40(FP), Y6
	VBROADCASTSD hi+48(FP), Y7
loop:
	AFFINE(0, Y0)
	AFFINE(32, Y1)
	AFFINE(64, Y2)
	AFFINE(96, Y3)
	ADDQ $128, DI
	ADDQ $128, SI
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET

#define ADD(off, v, t) \
	VMULPD  off(SI), Y8, v \
	VMULPD  off(DX), Y9, t \
	VADDPD  t, v, v        \
	VMOVUPD v, off(DI)

// func add(dst *float64, a float64, x *float64, b float64, y *float64, n int)
TEXT ·add(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	VBROADCASTSD a+8(FP), Y8
	MOVQ x+16(FP), SI
	VBROADCASTSD b+24(FP), Y9
	MOVQ y+32(FP), DX
	MOVQ n+40(FP), CX
loop:
	ADD(0, Y0, Y4)
	ADD(32, Y1, Y5)
	ADD(64, Y2, Y6)
	ADD(96, Y3, Y7)
	ADDQ $128, DI
	ADDQ $128, SI
	ADDQ $128, DX
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET
