//go:build amd64 && !purego

#include "textflag.h"

// func affine(dst, x *float64, n int, s, b, lo, hi float64)
#define AFFINE ·affine
#define AFFINEARGS 56
#define S s+24
#define B b+32
#define LO lo+40
#define HI hi+48

// func add(dst *float64, a float64, x *float64, b float64, y *float64, n int)
#define SUM ·add

// func times(dst, x, y *float64, n int)
#define TIMES ·times

#define ROUND 16

#include "double.h"
#include "elements.h"

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
