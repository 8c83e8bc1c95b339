//go:build amd64 && !purego

#include "textflag.h"

#define PAIRS(u, v, lo, hi) \
	VUNPCKLPS v, u, lo \
	VUNPCKHPS v, u, hi

#define FOURS(lo, hi, first, second) \
	VSHUFPS $0x44, hi, lo, first  \
	VSHUFPS $0xee, hi, lo, second

#define HALVES(u, v, lo, hi) \
	VPERM2F128 $0x20, v, u, lo \
	VPERM2F128 $0x31, v, u, hi

// func transposeEight(dst *float32, ld int, src *float32, stride, n int)
//
// It writes eight rows of n numbers, n a multiple of eight, as n rows of eight; ld and stride are bytes.
// Squares of one, of two and of four numbers are exchanged in turn.
TEXT ·transposeEight(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ ld+8(FP), R8
	MOVQ src+16(FP), SI
	MOVQ stride+24(FP), R9
	MOVQ n+32(FP), CX
	LEAQ (R9)(R9*2), R10
	LEAQ (R8)(R8*2), R11
squares:
	LEAQ (SI)(R9*4), AX
	VMOVUPS (SI), Y0
	VMOVUPS (SI)(R9*1), Y1
	VMOVUPS (SI)(R9*2), Y2
	VMOVUPS (SI)(R10*1), Y3
	VMOVUPS (AX), Y4
	VMOVUPS (AX)(R9*1), Y5
	VMOVUPS (AX)(R9*2), Y6
	VMOVUPS (AX)(R10*1), Y7
	PAIRS(Y0, Y1, Y8, Y9)
	PAIRS(Y2, Y3, Y10, Y11)
	PAIRS(Y4, Y5, Y12, Y13)
	PAIRS(Y6, Y7, Y14, Y15)
	FOURS(Y8, Y10, Y0, Y1)
	FOURS(Y9, Y11, Y2, Y3)
	FOURS(Y12, Y14, Y4, Y5)
	FOURS(Y13, Y15, Y6, Y7)
	HALVES(Y0, Y4, Y8, Y12)
	HALVES(Y1, Y5, Y9, Y13)
	HALVES(Y2, Y6, Y10, Y14)
	HALVES(Y3, Y7, Y11, Y15)
	LEAQ (DI)(R8*4), AX
	VMOVUPS Y8, (DI)
	VMOVUPS Y9, (DI)(R8*1)
	VMOVUPS Y10, (DI)(R8*2)
	VMOVUPS Y11, (DI)(R11*1)
	VMOVUPS Y12, (AX)
	VMOVUPS Y13, (AX)(R8*1)
	VMOVUPS Y14, (AX)(R8*2)
	VMOVUPS Y15, (AX)(R11*1)
	ADDQ $32, SI
	LEAQ (DI)(R8*8), DI
	SUBQ $8, CX
	JNZ  squares
	VZEROUPPER
	RET

// func transposeFour(dst *float64, ld int, src *float64, stride, n int)
//
// It is transposeEight for four rows of n numbers of eight bytes, n a multiple of four.
TEXT ·transposeFour(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ ld+8(FP), R8
	MOVQ src+16(FP), SI
	MOVQ stride+24(FP), R9
	MOVQ n+32(FP), CX
	LEAQ (R9)(R9*2), R10
	LEAQ (R8)(R8*2), R11
squares:
	VMOVUPD (SI), Y0
	VMOVUPD (SI)(R9*1), Y1
	VMOVUPD (SI)(R9*2), Y2
	VMOVUPD (SI)(R10*1), Y3
	VUNPCKLPD Y1, Y0, Y4
	VUNPCKHPD Y1, Y0, Y5
	VUNPCKLPD Y3, Y2, Y6
	VUNPCKHPD Y3, Y2, Y7
	HALVES(Y4, Y6, Y0, Y2)
	HALVES(Y5, Y7, Y1, Y3)
	VMOVUPD Y0, (DI)
	VMOVUPD Y1, (DI)(R8*1)
	VMOVUPD Y2, (DI)(R8*2)
	VMOVUPD Y3, (DI)(R11*1)
	ADDQ $32, SI
	LEAQ (DI)(R8*4), DI
	SUBQ $4, CX
	JNZ  squares
	VZEROUPPER
	RET
