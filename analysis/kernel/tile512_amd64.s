//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// A row of 24 sums is in three registers. ROWS is M of each of eight rows: where its term of A is, in bytes, a
// register for that, and the sums.

#define ROWS(M) \
	M(0, Z27, Z0, Z1, Z2)     \
	M(8, Z28, Z3, Z4, Z5)     \
	M(16, Z29, Z6, Z7, Z8)    \
	M(24, Z30, Z9, Z10, Z11)  \
	M(32, Z27, Z12, Z13, Z14) \
	M(40, Z28, Z15, Z16, Z17) \
	M(48, Z29, Z18, Z19, Z20) \
	M(56, Z30, Z21, Z22, Z23)

#define CLEAR(at, x, u, v, w) \
	VPXORQ u, u, u \
	VPXORQ v, v, v \
	VPXORQ w, w, w

#define FINISH(at, x, u, v, w) \
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

#define ADD(at, x, u, v, w) \
	VADDPD (R9), u, u    \
	VADDPD 64(R9), v, v  \
	VADDPD 128(R9), w, w \
	ADDQ R8, R9

#define STORE(at, x, u, v, w) \
	VMOVUPD u, (R9)    \
	VMOVUPD v, 64(R9)  \
	VMOVUPD w, 128(R9) \
	ADDQ R8, R9

#define FETCH(at, x, u, v, w) \
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
	ROWS(FETCH)
	ROWS(CLEAR)
	MOVQ tiles_k(R10), CX
	MOVQ tiles_b(R10), DX
	MOVQ SI, AX
	TESTQ CX, CX
	JZ   summed
loop:
	VMOVUPD (DX), Z24
	VMOVUPD 64(DX), Z25
	VMOVUPD 128(DX), Z26
	ROWS(TERM)
	ADDQ $192, DX
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
summed:
	CMPQ tiles_add(R10), $0
	JEQ  added
	MOVQ DI, R9
	ROWS(ADD)
added:
	TESTQ R12, R12
	JZ   store
	// An element that is a NaN stays one, see AFFINE.
	VBROADCASTSD tiles_lo(R10), Z26
	VBROADCASTSD tiles_hi(R10), Z27
	ROWS(FINISH)
	ADDQ $64, R12
	ADDQ $64, R13
store:
	MOVQ DI, R9
	ROWS(STORE)
	ADDQ tiles_step(R10), SI
	MOVQ R9, DI
	DECQ BX
	JNZ  panel
	VZEROUPPER
	RET

#define TERM2(at, x, u, v, w) \
	VBROADCASTSD at(AX), x \
	VFMADD231PD Z24, x, u  \
	VFMADD231PD Z25, x, v

#define STORE2(at, x, u, v, w) \
	VMOVUPD u, (24*at)(DI)    \
	VMOVUPD v, (24*at+64)(DI)

#define TERM1(at, x, u, v, w) \
	VFMADD231PD.BCST at(AX), Z24, u

#define STORE1(at, x, u, v, w) \
	VMOVUPD u, (24*at)(DI)

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
	ROWS(CLEAR)
	TESTQ CX, CX
	JZ   store
loop:
	VMOVUPD (DX), Z24
	VMOVUPD 64(DX), Z25
	ROWS(TERM2)
	ADDQ $192, DX
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
store:
	ROWS(STORE2)
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
	ROWS(CLEAR)
	TESTQ CX, CX
	JZ   store
loop:
	VMOVUPD (DX), Z24
	ROWS(TERM1)
	ADDQ $192, DX
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
store:
	ROWS(STORE1)
	VZEROUPPER
	RET

#define LARGER(at, x, u, v, w) \
	VBROADCASTSD at(AX), Z27 \
	VMULPD Z24, Z27, Z28     \
	VMULPD Z25, Z27, Z29     \
	VMULPD Z26, Z27, Z30     \
	VMAXPD Z28, u, u         \
	VMAXPD Z29, v, v         \
	VMAXPD Z30, w, w

#define OLDER(at, x, u, v, w) \
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
	ROWS(CLEAR)
	MOVQ tiles_k(R10), CX
	MOVQ tiles_b(R10), DX
	MOVQ SI, AX
	TESTQ CX, CX
	JZ   found
loop:
	VMOVUPD (DX), Z24
	VMOVUPD 64(DX), Z25
	VMOVUPD 128(DX), Z26
	ROWS(LARGER)
	ADDQ $192, DX
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
found:
	CMPQ tiles_add(R10), $0
	JEQ  store
	MOVQ DI, R9
	ROWS(OLDER)
store:
	MOVQ DI, R9
	ROWS(STORE)
	ADDQ tiles_step(R10), SI
	MOVQ R9, DI
	DECQ BX
	JNZ  panel
	VZEROUPPER
	RET
