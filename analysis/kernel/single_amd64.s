//go:build amd64 && !purego

#include "textflag.h"

// func affineSingle(dst, x *float32, n int, s, b, lo, hi float32)
#define AFFINE ·affineSingle
#define AFFINEARGS 40
#define S s+24
#define B b+28
#define LO lo+32
#define HI hi+36

// func addSingle(dst *float32, a float32, x *float32, b float32, y *float32, n int)
#define SUM ·addSingle

// func timesSingle(dst, x, y *float32, n int)
#define TIMES ·timesSingle

#define ROUND 32

#include "single.h"
#include "elements.h"

// What is greater than zero as an integer is greater than zero, or a NaN.
#define GATE(off, v) \
	VMOVDQU  off(DX), v     \
	VPCMPGTD Y4, v, v       \
	VPAND    off(SI), v, v  \
	VMOVDQU  v, off(DI)

// func gateSingle(dst, d, y *float32, n int)
TEXT ·gateSingle(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ d+8(FP), SI
	MOVQ y+16(FP), DX
	MOVQ n+24(FP), CX
	VPXOR Y4, Y4, Y4
loop:
	GATE(0, Y0)
	GATE(32, Y1)
	ADDQ $64, DI
	ADDQ $64, SI
	ADDQ $64, DX
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET

// The sums of 32 numbers side by side; n is a multiple of 32.
#define BEGIN \
	VXORPS Y0, Y0, Y0 \
	VXORPS Y1, Y1, Y1 \
	VXORPS Y2, Y2, Y2 \
	VXORPS Y3, Y3, Y3

#define END \
	VADDPS Y1, Y0, Y0        \
	VADDPS Y3, Y2, Y2        \
	VADDPS Y2, Y0, Y0        \
	VEXTRACTF128 $1, Y0, X1  \
	VADDPS X1, X0, X0        \
	VHADDPS X0, X0, X0       \
	VHADDPS X0, X0, X0       \
	VZEROUPPER

// func totalSingle(x *float32, n int) float32
TEXT ·totalSingle(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	BEGIN
loop:
	VADDPS (SI), Y0, Y0
	VADDPS 32(SI), Y1, Y1
	VADDPS 64(SI), Y2, Y2
	VADDPS 96(SI), Y3, Y3
	ADDQ $128, SI
	SUBQ $32, CX
	JNZ  loop
	END
	MOVSS X0, ret+16(FP)
	RET

#define PRODUCT(off, t, sum) \
	VMOVUPS off(SI), t      \
	VMULPS  off(DX), t, t   \
	VADDPS  t, sum, sum

// func dotSingle(x, y *float32, n int) float32
TEXT ·dotSingle(SB), NOSPLIT, $0-28
	MOVQ x+0(FP), SI
	MOVQ y+8(FP), DX
	MOVQ n+16(FP), CX
	BEGIN
loop:
	PRODUCT(0, Y4, Y0)
	PRODUCT(32, Y5, Y1)
	PRODUCT(64, Y6, Y2)
	PRODUCT(96, Y7, Y3)
	ADDQ $128, SI
	ADDQ $128, DX
	SUBQ $32, CX
	JNZ  loop
	END
	MOVSS X0, ret+24(FP)
	RET
