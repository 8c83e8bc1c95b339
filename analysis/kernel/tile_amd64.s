//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// A row of twelve sums is in three registers. ROWS is M of each of four rows: where its term of A is, in bytes,
// where its results are, and the sums.
#define ROWS(M) \
	M(0, DI, Y0, Y1, Y2)   \
	M(8, R9, Y3, Y4, Y5)   \
	M(16, R10, Y6, Y7, Y8) \
	M(24, R11, Y9, Y10, Y11)

#define CLEAR(at, c, u, v, w) \
	VXORPD u, u, u \
	VXORPD v, v, v \
	VXORPD w, w, w

#define TERM(at, c, u, v, w) \
	VBROADCASTSD at(AX), Y15 \
	VFMADD231PD Y12, Y15, u  \
	VFMADD231PD Y13, Y15, v  \
	VFMADD231PD Y14, Y15, w

#define ADD(at, c, u, v, w) \
	VADDPD (c), u, u   \
	VADDPD 32(c), v, v \
	VADDPD 64(c), w, w

#define STORE(at, c, u, v, w) \
	VMOVUPD u, (c)   \
	VMOVUPD v, 32(c) \
	VMOVUPD w, 64(c)

#define FINISH(at, c, u, v, w) \
	VBROADCASTSD at(R12), Y12 \
	VBROADCASTSD at(R13), Y13 \
	VMULPD u, Y12, u          \
	VMULPD v, Y12, v          \
	VMULPD w, Y12, w          \
	VADDPD Y13, u, u          \
	VADDPD Y13, v, v          \
	VADDPD Y13, w, w          \
	VMINPD u, Y15, u          \
	VMINPD v, Y15, v          \
	VMINPD w, Y15, w          \
	VMAXPD u, Y14, u          \
	VMAXPD v, Y14, v          \
	VMAXPD w, Y14, w

// func tiles(p tiles)
//
// Twelve sums of four columns are held in registers: enough of them that each of the two
// multipliers has a term to add while earlier ones are on their way.
TEXT ·tiles64(SB), NOSPLIT, $0-96
	LEAQ p+0(FP), AX
	MOVQ tiles_a(AX), SI
	MOVQ tiles_c(AX), DI
	MOVQ tiles_stride(AX), R8
	MOVQ tiles_n(AX), BX
	MOVQ tiles_scale(AX), R12
	MOVQ tiles_bias(AX), R13
panel:
	LEAQ (DI)(R8*1), R9
	LEAQ (DI)(R8*2), R10
	LEAQ (R9)(R8*2), R11
	PREFETCHT0 (DI)
	PREFETCHT0 (R9)
	PREFETCHT0 (R10)
	PREFETCHT0 (R11)
	PREFETCHT0 88(DI)
	PREFETCHT0 88(R9)
	PREFETCHT0 88(R10)
	PREFETCHT0 88(R11)
	ROWS(CLEAR)
	LEAQ p+0(FP), AX
	MOVQ tiles_k(AX), CX
	MOVQ tiles_b(AX), DX
	MOVQ SI, AX
	TESTQ CX, CX
	JZ   summed
loop:
	VMOVUPD (DX), Y12
	VMOVUPD 32(DX), Y13
	VMOVUPD 64(DX), Y14
	ROWS(TERM)
	ADDQ $96, DX
	ADDQ $32, AX
	DECQ CX
	JNZ  loop
summed:
	LEAQ p+0(FP), AX
	CMPQ tiles_add(AX), $0
	JEQ  added
	ROWS(ADD)
added:
	TESTQ R12, R12
	JZ   store
	// An element that is a NaN stays one, see AFFINE.
	VBROADCASTSD tiles_lo(AX), Y14
	VBROADCASTSD tiles_hi(AX), Y15
	ROWS(FINISH)
	ADDQ $32, R12
	ADDQ $32, R13
store:
	ROWS(STORE)
	ADDQ tiles_step(AX), SI
	LEAQ (R10)(R8*2), DI
	DECQ BX
	JNZ  panel
	VZEROUPPER
	RET

#define LARGER(at, c, u, v, w) \
	VBROADCASTSD at(AX), Y12   \
	VMULPD (DX), Y12, Y13      \
	VMULPD 32(DX), Y12, Y14    \
	VMULPD 64(DX), Y12, Y15    \
	VMAXPD Y13, u, u           \
	VMAXPD Y14, v, v           \
	VMAXPD Y15, w, w

#define OLDER(at, c, u, v, w) \
	VMAXPD (c), u, u           \
	VMAXPD 32(c), v, v         \
	VMAXPD 64(c), w, w

// func tilesMax64(p tiles)
//
// It is tiles64 with the largest product for the sum, and nothing to finish.
TEXT ·tilesMax64(SB), NOSPLIT, $0-96
	LEAQ p+0(FP), R12
	MOVQ tiles_a(R12), SI
	MOVQ tiles_c(R12), DI
	MOVQ tiles_stride(R12), R8
	MOVQ tiles_n(R12), BX
panel:
	LEAQ (DI)(R8*1), R9
	LEAQ (DI)(R8*2), R10
	LEAQ (R9)(R8*2), R11
	ROWS(CLEAR)
	MOVQ tiles_k(R12), CX
	MOVQ tiles_b(R12), DX
	MOVQ SI, AX
	TESTQ CX, CX
	JZ   found
loop:
	ROWS(LARGER)
	ADDQ $96, DX
	ADDQ $32, AX
	DECQ CX
	JNZ  loop
found:
	CMPQ tiles_add(R12), $0
	JEQ  store
	ROWS(OLDER)
store:
	ROWS(STORE)
	ADDQ tiles_step(R12), SI
	LEAQ (R10)(R8*2), DI
	DECQ BX
	JNZ  panel
	VZEROUPPER
	RET

// func moves(dst, src *float64, m *Move, n, ahead int)
//
// What lies so many bytes ahead is fetched: it is read next.
TEXT ·moves(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ m+16(FP), DX
	MOVQ n+24(FP), CX
	MOVQ ahead+32(FP), R11
move:
	MOVQ (DX), R8
	MOVQ 8(DX), R9
	MOVQ 16(DX), R10
	LEAQ (DI)(R8*8), R8
	LEAQ (SI)(R9*8), R9
	PREFETCHT0 (R9)(R11*1)
	CMPQ R10, $24
	JEQ  wide
	CMPQ R10, $12
	JNE  other
	VMOVUPD (R9), Y0
	VMOVUPD 32(R9), Y1
	VMOVUPD 64(R9), Y2
	VMOVUPD Y0, (R8)
	VMOVUPD Y1, 32(R8)
	VMOVUPD Y2, 64(R8)
	PREFETCHT0 88(R9)(R11*1)
	JMP  next
other:
	SUBQ $4, R10
	JLT  rest
four:
	VMOVUPD (R9), Y0
	VMOVUPD Y0, (R8)
	ADDQ $32, R9
	ADDQ $32, R8
	SUBQ $4, R10
	JGE  four
rest:
	TESTQ $2, R10
	JZ   one
	VMOVUPD (R9), X0
	VMOVUPD X0, (R8)
	ADDQ $16, R9
	ADDQ $16, R8
one:
	TESTQ $1, R10
	JZ   next
	VMOVSD (R9), X0
	VMOVSD X0, (R8)
next:
	ADDQ $24, DX
	DECQ CX
	JNZ  move
	VZEROUPPER
	RET
wide:
	VMOVUPD (R9), Y0
	VMOVUPD 32(R9), Y1
	VMOVUPD 64(R9), Y2
	VMOVUPD 96(R9), Y3
	VMOVUPD 128(R9), Y4
	VMOVUPD 160(R9), Y5
	VMOVUPD Y0, (R8)
	VMOVUPD Y1, 32(R8)
	VMOVUPD Y2, 64(R8)
	VMOVUPD Y3, 96(R8)
	VMOVUPD Y4, 128(R8)
	VMOVUPD Y5, 160(R8)
	PREFETCHT0 64(R9)(R11*1)
	PREFETCHT0 128(R9)(R11*1)
	PREFETCHT0 184(R9)(R11*1)
	JMP  next

// func every(dst, src *float64, m *Move, n int)
//
// Four elements come from eight, of which the last plays no part: only where there is a fifth
// element too it is inside the operand.
TEXT ·every(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ m+16(FP), DX
	MOVQ n+24(FP), CX
move:
	MOVQ (DX), R8
	MOVQ 8(DX), R9
	MOVQ 16(DX), R10
	LEAQ (DI)(R8*8), R8
	LEAQ (SI)(R9*8), R9
	SUBQ $5, R10
	JLT  rest
four:
	VMOVUPD (R9), Y0
	VUNPCKLPD 32(R9), Y0, Y0
	VPERMPD $0xD8, Y0, Y0
	VMOVUPD Y0, (R8)
	ADDQ $64, R9
	ADDQ $32, R8
	SUBQ $4, R10
	JGE  four
rest:
	ADDQ $5, R10
	JLE  next
one:
	VMOVSD (R9), X0
	VMOVSD X0, (R8)
	ADDQ $16, R9
	ADDQ $8, R8
	DECQ R10
	JNZ  one
next:
	ADDQ $24, DX
	DECQ CX
	JNZ  move
	VZEROUPPER
	RET

// Four numbers of each of four rows become four columns, Y8 to Y11.
#define COLUMNS4 \
	VMOVUPS (SI), X0          \
	VMOVUPS (SI)(R8*1), X1    \
	VMOVUPS (SI)(R8*2), X2    \
	VMOVUPS (SI)(R9*1), X3    \
	VUNPCKLPS X1, X0, X4      \
	VUNPCKHPS X1, X0, X5      \
	VUNPCKLPS X3, X2, X6      \
	VUNPCKHPS X3, X2, X7      \
	VMOVLHPS X6, X4, X8       \
	VMOVHLPS X4, X6, X9       \
	VMOVLHPS X7, X5, X10      \
	VMOVHLPS X5, X7, X11      \
	VCVTPS2PD X8, Y8          \
	VCVTPS2PD X9, Y9          \
	VCVTPS2PD X10, Y10        \
	VCVTPS2PD X11, Y11

#define PUT4 \
	VMOVUPD Y8, (DI)          \
	VMOVUPD Y9, (DI)(R10*1)   \
	VMOVUPD Y10, (DI)(R10*2)  \
	VMOVUPD Y11, (DI)(R11*1)  \
	LEAQ (DI)(R10*4), DI      \
	ADDQ $16, SI

// func panelRows(dst *float64, step int, src *float32, stride, n int, power Power)
TEXT ·panelRows(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ step+8(FP), R10
	MOVQ src+16(FP), SI
	MOVQ stride+24(FP), R8
	MOVQ n+32(FP), CX
	MOVQ power+40(FP), AX
	LEAQ (R8)(R8*2), R9
	LEAQ (R10)(R10*2), R11
	CMPQ AX, $1
	JEQ  magnitudes
	CMPQ AX, $2
	JEQ  squares
same:
	COLUMNS4
	PUT4
	SUBQ $4, CX
	JNZ  same
	VZEROUPPER
	RET
magnitudes:
	VPCMPEQD Y12, Y12, Y12
	VPSRLQ $1, Y12, Y12
absolute:
	COLUMNS4
	VANDPD Y12, Y8, Y8
	VANDPD Y12, Y9, Y9
	VANDPD Y12, Y10, Y10
	VANDPD Y12, Y11, Y11
	PUT4
	SUBQ $4, CX
	JNZ  absolute
	VZEROUPPER
	RET
squares:
	COLUMNS4
	VMULPD Y8, Y8, Y8
	VMULPD Y9, Y9, Y9
	VMULPD Y10, Y10, Y10
	VMULPD Y11, Y11, Y11
	PUT4
	SUBQ $4, CX
	JNZ  squares
	VZEROUPPER
	RET
