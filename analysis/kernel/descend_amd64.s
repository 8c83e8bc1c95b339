//go:build amd64 && !purego

#include "textflag.h"

DATA mostFinite<>+0(SB)/8, $0x7fefffffffffffff
GLOBL mostFinite<>(SB), RODATA|NOPTR, $8
DATA unity<>+0(SB)/8, $0x3ff0000000000000
GLOBL unity<>(SB), RODATA|NOPTR, $8

// What is above the largest finite number, or is none, becomes zero.
#define INVERTED(off, v, mask, most) \
	VDIVPD off(SI), Y15, v        \
	VCMPPD $2, Y14, v, mask       \
	VANDPD mask, v, v             \
	VMAXPD v, most, most          \
	VMOVUPD v, off(SI)

// func reciprocals(x *float64, n int) float64
TEXT ·reciprocals(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSD unity<>(SB), Y15
	VBROADCASTSD mostFinite<>(SB), Y14
	VXORPD Y8, Y8, Y8
	VXORPD Y9, Y9, Y9
loop:
	INVERTED(0, Y0, Y4, Y8)
	INVERTED(32, Y1, Y5, Y9)
	INVERTED(64, Y2, Y6, Y8)
	INVERTED(96, Y3, Y7, Y9)
	ADDQ $128, SI
	SUBQ $16, CX
	JNZ  loop
	VMAXPD Y9, Y8, Y8
	VEXTRACTF128 $1, Y8, X0
	VMAXPD X0, X8, X0
	VPERMILPD $1, X0, X1
	VMAXSD X1, X0, X0
	VMOVSD X0, ret+16(FP)
	VZEROUPPER
	RET

// keep*w - step*(g*q) of four elements, widened to Y0 (g) and Y1 (w).
#define DESCENDED(q) \
	VMULPD q(DX), Y0, Y0 \
	VMULPD Y15, Y0, Y0   \
	VMULPD Y14, Y1, Y1   \
	VSUBPD Y0, Y1, Y1

#define FOUR32(off, q) \
	VCVTPS2PD  off(SI), Y0 \
	VCVTPS2PD  off(DI), Y1 \
	DESCENDED(q)           \
	VCVTPD2PSY Y1, X1      \
	VMOVUPS    X1, off(DI)

#define FOUR64(off) \
	VMOVUPD off(SI), Y0 \
	VMOVUPD off(DI), Y1 \
	DESCENDED(off)      \
	VMOVUPD Y1, off(DI)

// func descend32(w, d *float32, q *float64, n int, keep, step float64)
TEXT ·descend32(SB), NOSPLIT, $0-48
	MOVQ w+0(FP), DI
	MOVQ d+8(FP), SI
	MOVQ q+16(FP), DX
	MOVQ n+24(FP), CX
	VBROADCASTSD keep+32(FP), Y14
	VBROADCASTSD step+40(FP), Y15
loop:
	FOUR32(0, 0)
	FOUR32(16, 32)
	FOUR32(32, 64)
	FOUR32(48, 96)
	ADDQ $64, DI
	ADDQ $64, SI
	ADDQ $128, DX
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET

// func descend64(w, d, q *float64, n int, keep, step float64)
TEXT ·descend64(SB), NOSPLIT, $0-48
	MOVQ w+0(FP), DI
	MOVQ d+8(FP), SI
	MOVQ q+16(FP), DX
	MOVQ n+24(FP), CX
	VBROADCASTSD keep+32(FP), Y14
	VBROADCASTSD step+40(FP), Y15
loop:
	FOUR64(0)
	FOUR64(32)
	FOUR64(64)
	FOUR64(96)
	ADDQ $128, DI
	ADDQ $128, SI
	ADDQ $128, DX
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET
