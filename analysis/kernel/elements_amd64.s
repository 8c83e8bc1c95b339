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

#define BOUND(v, off) \
	VMULPD  v, Y8, v      \
	VADDPD  Y9, v, v      \
	VMINPD  v, Y11, v     \
	VMAXPD  v, Y10, v     \
	VMOVUPD v, off(DI)(CX*8)

// func taps(dst *float64, width int, x *float64, rows *int, lines int, at *int, w *float64, taps int, s, b, lo, hi float64)
//
// A line is cut into blocks of 16, 8 and 4 elements. Its last block ends where the line does
// and may repeat some of the one before.
TEXT ·taps(SB), NOSPLIT, $0-96
	MOVQ dst+0(FP), DI
	MOVQ width+8(FP), R13
	MOVQ x+16(FP), SI
	MOVQ rows+24(FP), R11
	MOVQ lines+32(FP), R12
	MOVQ at+40(FP), R8
	MOVQ w+48(FP), R9
	MOVQ taps+56(FP), R10
	VBROADCASTSD s+64(FP), Y8
	VBROADCASTSD b+72(FP), Y9
	VBROADCASTSD lo+80(FP), Y10
	VBROADCASTSD hi+88(FP), Y11
line:
	MOVQ (R11), AX
	LEAQ (SI)(AX*8), DX
	XORQ CX, CX
block:
	MOVQ R13, AX
	SUBQ CX, AX
	JLE  next
	CMPQ AX, $16
	JGE  sixteen
	CMPQ AX, $8
	JGT  nine
	CMPQ AX, $4
	JGT  five
	LEAQ -4(R13), CX
	JMP  four
nine:
	CMPQ R13, $16
	JLT  eight
	LEAQ -16(R13), CX
	JMP  sixteen
five:
	CMPQ R13, $8
	JLT  four
	LEAQ -8(R13), CX
	JMP  eight
sixteen:
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
	XORQ BX, BX
tap16:
	MOVQ (R8)(BX*8), AX
	ADDQ CX, AX
	LEAQ (DX)(AX*8), AX
	VBROADCASTSD (R9)(BX*8), Y12
	VFMADD231PD (AX), Y12, Y0
	VFMADD231PD 32(AX), Y12, Y1
	VFMADD231PD 64(AX), Y12, Y2
	VFMADD231PD 96(AX), Y12, Y3
	INCQ BX
	CMPQ BX, R10
	JNE  tap16
	BOUND(Y0, 0)
	BOUND(Y1, 32)
	BOUND(Y2, 64)
	BOUND(Y3, 96)
	ADDQ $16, CX
	JMP  block
eight:
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	XORQ BX, BX
tap8:
	MOVQ (R8)(BX*8), AX
	ADDQ CX, AX
	LEAQ (DX)(AX*8), AX
	VBROADCASTSD (R9)(BX*8), Y12
	VFMADD231PD (AX), Y12, Y0
	VFMADD231PD 32(AX), Y12, Y1
	INCQ BX
	CMPQ BX, R10
	JNE  tap8
	BOUND(Y0, 0)
	BOUND(Y1, 32)
	ADDQ $8, CX
	JMP  block
four:
	VXORPD Y0, Y0, Y0
	XORQ BX, BX
tap4:
	MOVQ (R8)(BX*8), AX
	ADDQ CX, AX
	LEAQ (DX)(AX*8), AX
	VBROADCASTSD (R9)(BX*8), Y12
	VFMADD231PD (AX), Y12, Y0
	INCQ BX
	CMPQ BX, R10
	JNE  tap4
	BOUND(Y0, 0)
	ADDQ $4, CX
	JMP  block
next:
	LEAQ (DI)(R13*8), DI
	ADDQ $8, R11
	DECQ R12
	JNZ  line
	VZEROUPPER
	RET
