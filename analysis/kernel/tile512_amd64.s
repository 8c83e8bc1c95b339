//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// A row of 24 sums is in three registers.

#define CLEAR \
	VPXORQ Z0, Z0, Z0; VPXORQ Z1, Z1, Z1; VPXORQ Z2, Z2, Z2 \
	VPXORQ Z3, Z3, Z3; VPXORQ Z4, Z4, Z4; VPXORQ Z5, Z5, Z5 \
	VPXORQ Z6, Z6, Z6; VPXORQ Z7, Z7, Z7; VPXORQ Z8, Z8, Z8 \
	VPXORQ Z9, Z9, Z9; VPXORQ Z10, Z10, Z10; VPXORQ Z11, Z11, Z11 \
	VPXORQ Z12, Z12, Z12; VPXORQ Z13, Z13, Z13; VPXORQ Z14, Z14, Z14 \
	VPXORQ Z15, Z15, Z15; VPXORQ Z16, Z16, Z16; VPXORQ Z17, Z17, Z17 \
	VPXORQ Z18, Z18, Z18; VPXORQ Z19, Z19, Z19; VPXORQ Z20, Z20, Z20 \
	VPXORQ Z21, Z21, Z21; VPXORQ Z22, Z22, Z22; VPXORQ Z23, Z23, Z23

#define FINISH(at, u, v, w) \
	VBROADCASTSD at(R12), Z24 \
	VBROADCASTSD at(R13), Z25 \
	VMULPD u, Z24, u          \
	VMULPD v, Z24, v          \
	VMULPD w, Z24, w          \
	VADDPD Z25, u, u          \
	VADDPD Z25, v, v          \
	VADDPD Z25, w, w          \
	VMINPD u, Z27, u          \
	VMINPD v, Z27, v          \
	VMINPD w, Z27, w          \
	VMAXPD u, Z26, u          \
	VMAXPD v, Z26, v          \
	VMAXPD w, Z26, w

#define TERM(at, x, u, v, w) \
	VBROADCASTSD at(AX), x \
	VFMADD231PD Z24, x, u  \
	VFMADD231PD Z25, x, v  \
	VFMADD231PD Z26, x, w

#define ADD(u, v, w) \
	VADDPD (R9), u, u    \
	VADDPD 64(R9), v, v  \
	VADDPD 128(R9), w, w \
	ADDQ R8, R9

#define STORE(u, v, w) \
	VMOVUPD u, (R9)    \
	VMOVUPD v, 64(R9)  \
	VMOVUPD w, 128(R9) \
	ADDQ R8, R9

#define FETCH \
	PREFETCHT0 (R9)    \
	PREFETCHT0 64(R9)  \
	PREFETCHT0 128(R9) \
	PREFETCHT0 184(R9) \
	ADDQ R8, R9

// func tiles512(p tiles)
//
// It is tiles64 for eight rows and 24 columns: of 32 registers 24 have sums.
TEXT ·tiles512(SB), NOSPLIT, $0-96
	LEAQ p+0(FP), R10
	MOVQ tiles_a(R10), SI
	MOVQ tiles_c(R10), DI
	MOVQ tiles_stride(R10), R8
	MOVQ tiles_n(R10), BX
	MOVQ tiles_scale(R10), R12
	MOVQ tiles_bias(R10), R13
panel:
	MOVQ DI, R9
	FETCH
	FETCH
	FETCH
	FETCH
	FETCH
	FETCH
	FETCH
	FETCH
	CLEAR
	MOVQ tiles_k(R10), CX
	MOVQ tiles_b(R10), DX
	MOVQ SI, AX
	TESTQ CX, CX
	JZ   summed
loop:
	VMOVUPD (DX), Z24
	VMOVUPD 64(DX), Z25
	VMOVUPD 128(DX), Z26
	TERM(0, Z27, Z0, Z1, Z2)
	TERM(8, Z28, Z3, Z4, Z5)
	TERM(16, Z29, Z6, Z7, Z8)
	TERM(24, Z30, Z9, Z10, Z11)
	TERM(32, Z27, Z12, Z13, Z14)
	TERM(40, Z28, Z15, Z16, Z17)
	TERM(48, Z29, Z18, Z19, Z20)
	TERM(56, Z30, Z21, Z22, Z23)
	ADDQ $192, DX
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
summed:
	CMPQ tiles_add(R10), $0
	JEQ  added
	MOVQ DI, R9
	ADD(Z0, Z1, Z2)
	ADD(Z3, Z4, Z5)
	ADD(Z6, Z7, Z8)
	ADD(Z9, Z10, Z11)
	ADD(Z12, Z13, Z14)
	ADD(Z15, Z16, Z17)
	ADD(Z18, Z19, Z20)
	ADD(Z21, Z22, Z23)
added:
	TESTQ R12, R12
	JZ   store
	// An element that is a NaN stays one, see AFFINE.
	VBROADCASTSD tiles_lo(R10), Z26
	VBROADCASTSD tiles_hi(R10), Z27
	FINISH(0, Z0, Z1, Z2)
	FINISH(8, Z3, Z4, Z5)
	FINISH(16, Z6, Z7, Z8)
	FINISH(24, Z9, Z10, Z11)
	FINISH(32, Z12, Z13, Z14)
	FINISH(40, Z15, Z16, Z17)
	FINISH(48, Z18, Z19, Z20)
	FINISH(56, Z21, Z22, Z23)
	ADDQ $64, R12
	ADDQ $64, R13
store:
	MOVQ DI, R9
	STORE(Z0, Z1, Z2)
	STORE(Z3, Z4, Z5)
	STORE(Z6, Z7, Z8)
	STORE(Z9, Z10, Z11)
	STORE(Z12, Z13, Z14)
	STORE(Z15, Z16, Z17)
	STORE(Z18, Z19, Z20)
	STORE(Z21, Z22, Z23)
	ADDQ tiles_step(R10), SI
	MOVQ R9, DI
	DECQ BX
	JNZ  panel
	VZEROUPPER
	RET

#define TERM2(at, x, u, v) \
	VBROADCASTSD at(AX), x \
	VFMADD231PD Z24, x, u  \
	VFMADD231PD Z25, x, v

#define STORE2(at, u, v) \
	VMOVUPD u, at(DI)    \
	VMOVUPD v, at+64(DI)

// func tile512x16(p tiles)
//
// It is the first 16 columns of one tile of tiles512, without what was there before and without Finish; rows of
// the result are 24 numbers long, whatever the stride.
TEXT ·tile512x16(SB), NOSPLIT, $0-96
	LEAQ p+0(FP), R10
	MOVQ tiles_a(R10), AX
	MOVQ tiles_b(R10), DX
	MOVQ tiles_c(R10), DI
	MOVQ tiles_k(R10), CX
	CLEAR
	TESTQ CX, CX
	JZ   store
loop:
	VMOVUPD (DX), Z24
	VMOVUPD 64(DX), Z25
	TERM2(0, Z27, Z0, Z1)
	TERM2(8, Z28, Z2, Z3)
	TERM2(16, Z29, Z4, Z5)
	TERM2(24, Z30, Z6, Z7)
	TERM2(32, Z27, Z8, Z9)
	TERM2(40, Z28, Z10, Z11)
	TERM2(48, Z29, Z12, Z13)
	TERM2(56, Z30, Z14, Z15)
	ADDQ $192, DX
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
store:
	STORE2(0, Z0, Z1)
	STORE2(192, Z2, Z3)
	STORE2(384, Z4, Z5)
	STORE2(576, Z6, Z7)
	STORE2(768, Z8, Z9)
	STORE2(960, Z10, Z11)
	STORE2(1152, Z12, Z13)
	STORE2(1344, Z14, Z15)
	VZEROUPPER
	RET

// func tile512x8(p tiles)
//
// It is tile512x16 for eight columns.
TEXT ·tile512x8(SB), NOSPLIT, $0-96
	LEAQ p+0(FP), R10
	MOVQ tiles_a(R10), AX
	MOVQ tiles_b(R10), DX
	MOVQ tiles_c(R10), DI
	MOVQ tiles_k(R10), CX
	CLEAR
	TESTQ CX, CX
	JZ   store
loop:
	VMOVUPD (DX), Z24
	VFMADD231PD.BCST (AX), Z24, Z0
	VFMADD231PD.BCST 8(AX), Z24, Z1
	VFMADD231PD.BCST 16(AX), Z24, Z2
	VFMADD231PD.BCST 24(AX), Z24, Z3
	VFMADD231PD.BCST 32(AX), Z24, Z4
	VFMADD231PD.BCST 40(AX), Z24, Z5
	VFMADD231PD.BCST 48(AX), Z24, Z6
	VFMADD231PD.BCST 56(AX), Z24, Z7
	ADDQ $192, DX
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
store:
	VMOVUPD Z0, (DI)
	VMOVUPD Z1, 192(DI)
	VMOVUPD Z2, 384(DI)
	VMOVUPD Z3, 576(DI)
	VMOVUPD Z4, 768(DI)
	VMOVUPD Z5, 960(DI)
	VMOVUPD Z6, 1152(DI)
	VMOVUPD Z7, 1344(DI)
	VZEROUPPER
	RET

#define LARGER(at, u, v, w) \
	VBROADCASTSD at(AX), Z27 \
	VMULPD Z24, Z27, Z28     \
	VMULPD Z25, Z27, Z29     \
	VMULPD Z26, Z27, Z30     \
	VMAXPD Z28, u, u         \
	VMAXPD Z29, v, v         \
	VMAXPD Z30, w, w

#define OLDER(u, v, w) \
	VMAXPD (R9), u, u    \
	VMAXPD 64(R9), v, v  \
	VMAXPD 128(R9), w, w \
	ADDQ R8, R9

// func tilesMax512(p tiles)
//
// It is tiles512 with the largest product for the sum, and nothing to finish.
TEXT ·tilesMax512(SB), NOSPLIT, $0-96
	LEAQ p+0(FP), R10
	MOVQ tiles_a(R10), SI
	MOVQ tiles_c(R10), DI
	MOVQ tiles_stride(R10), R8
	MOVQ tiles_n(R10), BX
panel:
	CLEAR
	MOVQ tiles_k(R10), CX
	MOVQ tiles_b(R10), DX
	MOVQ SI, AX
	TESTQ CX, CX
	JZ   found
loop:
	VMOVUPD (DX), Z24
	VMOVUPD 64(DX), Z25
	VMOVUPD 128(DX), Z26
	LARGER(0, Z0, Z1, Z2)
	LARGER(8, Z3, Z4, Z5)
	LARGER(16, Z6, Z7, Z8)
	LARGER(24, Z9, Z10, Z11)
	LARGER(32, Z12, Z13, Z14)
	LARGER(40, Z15, Z16, Z17)
	LARGER(48, Z18, Z19, Z20)
	LARGER(56, Z21, Z22, Z23)
	ADDQ $192, DX
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
found:
	CMPQ tiles_add(R10), $0
	JEQ  store
	MOVQ DI, R9
	OLDER(Z0, Z1, Z2)
	OLDER(Z3, Z4, Z5)
	OLDER(Z6, Z7, Z8)
	OLDER(Z9, Z10, Z11)
	OLDER(Z12, Z13, Z14)
	OLDER(Z15, Z16, Z17)
	OLDER(Z18, Z19, Z20)
	OLDER(Z21, Z22, Z23)
store:
	MOVQ DI, R9
	STORE(Z0, Z1, Z2)
	STORE(Z3, Z4, Z5)
	STORE(Z6, Z7, Z8)
	STORE(Z9, Z10, Z11)
	STORE(Z12, Z13, Z14)
	STORE(Z15, Z16, Z17)
	STORE(Z18, Z19, Z20)
	STORE(Z21, Z22, Z23)
	ADDQ tiles_step(R10), SI
	MOVQ R9, DI
	DECQ BX
	JNZ  panel
	VZEROUPPER
	RET
