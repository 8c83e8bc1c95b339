//go:build amd64 && !purego

#include "textflag.h"

// func expFour(dst, x *float64, n int, table *float64, c *expConstants) int
//
// It is the loop of Exp for four numbers at a time, operation for operation, up to the first four of which one
// is outside; it returns how many it has done.
TEXT ·expFour(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ table+24(FP), R8
	MOVQ c+32(FP), DX
	VBROADCASTSD (DX), Y15     // least
	VBROADCASTSD 8(DX), Y14    // most
	VBROADCASTSD 16(DX), Y13   // places
	VBROADCASTSD 24(DX), Y12   // round
	VBROADCASTSD 32(DX), Y11   // high
	VBROADCASTSD 40(DX), Y10   // low
	MOVQ $63, R9
	MOVQ R9, X9
	VPBROADCASTQ X9, Y9
	XORQ AX, AX
loop:
	VMOVUPD (SI), Y0
	VCMPPD $0x11, Y0, Y15, Y1  // least < v
	VCMPPD $0x11, Y14, Y0, Y2  // v < most
	VANDPD Y2, Y1, Y1
	VMOVMSKPD Y1, R10
	CMPQ R10, $15
	JNE  done
	VMULPD Y13, Y0, Y1
	VADDPD Y12, Y1, Y1         // its bits are n
	VSUBPD Y12, Y1, Y2         // f
	VMULPD Y11, Y2, Y3
	VSUBPD Y3, Y0, Y3
	VMULPD Y10, Y2, Y4
	VSUBPD Y4, Y3, Y3          // r
	VBROADCASTSD 48(DX), Y4
	VBROADCASTSD 56(DX), Y5
	VMULPD Y3, Y4, Y4
	VADDPD Y5, Y4, Y4
	VBROADCASTSD 64(DX), Y5
	VMULPD Y3, Y4, Y4
	VADDPD Y5, Y4, Y4
	VBROADCASTSD 72(DX), Y5
	VMULPD Y3, Y4, Y4
	VADDPD Y5, Y4, Y4
	VMULPD Y3, Y3, Y5
	VMULPD Y5, Y4, Y4
	VADDPD Y4, Y3, Y4          // p
	VPAND Y9, Y1, Y5
	VPCMPEQD Y6, Y6, Y6
	VGATHERQPD Y6, (R8)(Y5*8), Y7
	VMULPD Y4, Y7, Y4
	VADDPD Y4, Y7, Y7
	VPSRLQ $6, Y1, Y1
	VPSLLQ $52, Y1, Y1
	VPADDQ Y1, Y7, Y7
	VMOVUPD Y7, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $4, AX
	CMPQ AX, CX
	JLT  loop
done:
	VZEROUPPER
	MOVQ AX, ret+40(FP)
	RET

// func logisticFour(x, e *float64, n int)
TEXT ·logisticFour(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ e+8(FP), DX
	MOVQ n+16(FP), CX
	VXORPD Y15, Y15, Y15
	MOVQ $0x3FF0000000000000, R9
	MOVQ R9, X14
	VPBROADCASTQ X14, Y14
loop:
	VMOVUPD (SI), Y0
	VMOVUPD (DX), Y1
	VCMPPD $0x11, Y15, Y0, Y2  // v < 0
	VBLENDVPD Y2, Y1, Y14, Y3
	VADDPD Y14, Y1, Y1
	VDIVPD Y1, Y3, Y3
	VMOVUPD Y3, (SI)
	ADDQ $32, SI
	ADDQ $32, DX
	SUBQ $4, CX
	JNZ  loop
	VZEROUPPER
	RET
