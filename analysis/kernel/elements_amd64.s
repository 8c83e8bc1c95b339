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

// Bits are compared as integers, which order numbers that are not negative; those of least are one less and
// have the sign turned, so that zero is the largest.
#define EXTREMES(off, x, low, high, or) \
	VMOVDQU  off(SI), x             \
	VPOR     x, or, or              \
	VPCMPGTQ high, x, Y12           \
	VBLENDVPD Y12, x, high, high    \
	VPADDQ   Y14, x, x              \
	VPXOR    Y15, x, x              \
	VPCMPGTQ x, low, Y13            \
	VBLENDVPD Y13, x, low, low

// func leastMost(x *float64, n int, out *[12]uint64)
//
// It writes four of the least, less one, of the largest and of the union of the bits of n numbers, a multiple of 16.
TEXT ·leastMost(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ out+16(FP), DI
	VPCMPEQQ Y14, Y14, Y14    // -1
	VPSLLQ $63, Y14, Y15      // the sign
	VPSRLQ $1, Y14, Y0        // the largest
	VMOVDQA Y0, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
loop:
	EXTREMES(0, Y6, Y0, Y2, Y4)
	EXTREMES(32, Y7, Y1, Y3, Y5)
	EXTREMES(64, Y8, Y0, Y2, Y4)
	EXTREMES(96, Y9, Y1, Y3, Y5)
	ADDQ $128, SI
	SUBQ $16, CX
	JNZ  loop
	VPCMPGTQ Y1, Y0, Y12
	VBLENDVPD Y12, Y1, Y0, Y0
	VPCMPGTQ Y2, Y3, Y12
	VBLENDVPD Y12, Y3, Y2, Y2
	VPOR Y5, Y4, Y4
	VPXOR Y15, Y0, Y0
	VMOVDQU Y0, (DI)
	VMOVDQU Y2, 32(DI)
	VMOVDQU Y4, 64(DI)
	VZEROUPPER
	RET
