//go:build amd64 && !purego

#include "textflag.h"

#include "weights.h"

// Every loop takes 16 weights at a time, as four vectors of four float64; n is
// a multiple of 16 and not zero. The macros differ in the stored type alone.

// One vector of four weights in y for row: sums in Y8 (|w|), Y9 (w^2), Y10
// (|w|^3), Y11 (largest), Y12 (zeros, as 64-bit counts).
#define ROWSTEP(y, t) \
	VCMPPD      $0, Y14, y, t   \
	VPSUBQ      t, Y12, Y12     \
	VANDPD      Y15, y, y       \
	VADDPD      y, Y8, Y8       \
	VMAXPD      y, Y11, Y11     \
	VMULPD      y, y, t         \
	VADDPD      t, Y9, Y9       \
	VFMADD231PD y, t, Y10

// A second set of sums halves the chains of dependent additions.
#define ROWSTEP2(y, t) \
	VCMPPD      $0, Y14, y, t   \
	VPSUBQ      t, Y12, Y12     \
	VANDPD      Y15, y, y       \
	VADDPD      y, Y5, Y5       \
	VMAXPD      y, Y13, Y13     \
	VMULPD      y, y, t         \
	VADDPD      t, Y6, Y6       \
	VFMADD231PD y, t, Y7

#define ROW(LD, SIZE) \
	ABSMASK(Y15)             \
	VXORPD  Y14, Y14, Y14    \
	VXORPD  Y5, Y5, Y5       \
	VXORPD  Y6, Y6, Y6       \
	VXORPD  Y7, Y7, Y7       \
	VXORPD  Y8, Y8, Y8       \
	VXORPD  Y9, Y9, Y9       \
	VXORPD  Y10, Y10, Y10    \
	VXORPD  Y11, Y11, Y11    \
	VXORPD  Y12, Y12, Y12    \
	VXORPD  Y13, Y13, Y13    \
loop:                            \
	LD(0, SI, Y0)            \
	LD(4, SI, Y1)            \
	ROWSTEP(Y0, Y2)          \
	ROWSTEP2(Y1, Y3)         \
	LD(8, SI, Y0)            \
	LD(12, SI, Y1)           \
	ROWSTEP(Y0, Y2)          \
	ROWSTEP2(Y1, Y3)         \
	ADDQ    $(16*SIZE), SI   \
	SUBQ    $16, CX          \
	JNZ     loop             \
	VADDPD  Y5, Y8, Y8       \
	VADDPD  Y6, Y9, Y9       \
	VADDPD  Y7, Y10, Y10     \
	VMAXPD  Y13, Y11, Y11    \
	REDUCE(VADDPD, VADDSD, Y8, X8, Y0, X0)   \
	REDUCE(VADDPD, VADDSD, Y9, X9, Y0, X0)   \
	REDUCE(VADDPD, VADDSD, Y10, X10, Y0, X0) \
	REDUCE(VMAXPD, VMAXSD, Y11, X11, Y0, X0) \
	VEXTRACTI128 $1, Y12, X0 \
	VPADDQ  X0, X12, X12     \
	VPSRLDQ $8, X12, X0      \
	VPADDQ  X0, X12, X12     \
	VMOVQ   X12, AX          \
	VADDSD  0(DI), X8, X8    \
	VMOVSD  X8, 0(DI)        \
	VADDSD  8(DI), X9, X9    \
	VMOVSD  X9, 8(DI)        \
	VADDSD  16(DI), X10, X10 \
	VMOVSD  X10, 16(DI)      \
	VMAXSD  24(DI), X11, X11 \
	VMOVSD  X11, 24(DI)      \
	ADDQ    AX, 32(DI)       \
	VZEROUPPER               \
	RET

// func row32(w unsafe.Pointer, n int, out *Row)
TEXT ·row32(SB), NOSPLIT, $0-24
	MOVQ w+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ out+16(FP), DI
	ROW(LD32, 4)

// func row64(w unsafe.Pointer, n int, out *Row)
TEXT ·row64(SB), NOSPLIT, $0-24
	MOVQ w+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ out+16(FP), DI
	ROW(LD64, 8)

// One vector of row with three path programmes, whose factors lie off bytes
// into DX, R8 and R9: sums in Y4 (w^2), Y5 (largest), Y6 (zeros), Y7 (largest
// term), and, one of two sets each, a (|w|), d (|w| g) and e (w^2 g). The line
// R10 bytes ahead is fetched meanwhile.
#define PATHSTEP(y, t, off, a, d, e) \
	VCMPPD      $0, Y14, y, t    \
	VPSUBQ      t, Y6, Y6        \
	VANDPD      Y15, y, y        \
	VADDPD      y, a, a          \
	VMAXPD      y, Y5, Y5        \
	VFMADD231PD off(DX), y, d    \
	VMULPD      y, y, t          \
	VADDPD      t, Y4, Y4        \
	VFMADD231PD off(R8), t, e    \
	VMULPD      off(R9), y, y    \
	VMAXPD      y, Y7, Y7

#define ROWPATHS(LD, SIZE) \
	ABSMASK(Y15)             \
	VXORPD  Y14, Y14, Y14    \
	VXORPD  Y4, Y4, Y4       \
	VXORPD  Y5, Y5, Y5       \
	VXORPD  Y6, Y6, Y6       \
	VXORPD  Y7, Y7, Y7       \
	VXORPD  Y8, Y8, Y8       \
	VXORPD  Y9, Y9, Y9       \
	VXORPD  Y10, Y10, Y10    \
	VXORPD  Y11, Y11, Y11    \
	VXORPD  Y12, Y12, Y12    \
	VXORPD  Y13, Y13, Y13    \
loop:                            \
	LD(0, SI, Y0)            \
	LD(4, SI, Y1)            \
	PATHSTEP(Y0, Y2, 0, Y8, Y10, Y12)  \
	PATHSTEP(Y1, Y3, 32, Y9, Y11, Y13) \
	LD(8, SI, Y0)            \
	LD(12, SI, Y1)           \
	PATHSTEP(Y0, Y2, 64, Y8, Y10, Y12) \
	PATHSTEP(Y1, Y3, 96, Y9, Y11, Y13) \
	PREFETCHT0 (SI)(R10*1)   \
	PREFETCHT0 (16*SIZE-64)(SI)(R10*1) \
	ADDQ    $(16*SIZE), SI   \
	ADDQ    $128, DX         \
	ADDQ    $128, R8         \
	ADDQ    $128, R9         \
	SUBQ    $16, CX          \
	JNZ     loop             \
	VADDPD  Y9, Y8, Y8       \
	VADDPD  Y11, Y10, Y10    \
	VADDPD  Y13, Y12, Y12    \
	REDUCE(VADDPD, VADDSD, Y8, X8, Y0, X0)   \
	REDUCE(VADDPD, VADDSD, Y4, X4, Y0, X0)   \
	REDUCE(VMAXPD, VMAXSD, Y5, X5, Y0, X0)   \
	REDUCE(VADDPD, VADDSD, Y10, X10, Y0, X0) \
	REDUCE(VADDPD, VADDSD, Y12, X12, Y0, X0) \
	REDUCE(VMAXPD, VMAXSD, Y7, X7, Y0, X0)   \
	VEXTRACTI128 $1, Y6, X0  \
	VPADDQ  X0, X6, X6       \
	VPSRLDQ $8, X6, X0       \
	VPADDQ  X0, X6, X6       \
	VMOVQ   X6, AX           \
	VADDSD  0(DI), X8, X8    \
	VMOVSD  X8, 0(DI)        \
	VADDSD  8(DI), X4, X4    \
	VMOVSD  X4, 8(DI)        \
	VMAXSD  24(DI), X5, X5   \
	VMOVSD  X5, 24(DI)       \
	ADDQ    AX, 32(DI)       \
	VADDSD  40(DI), X10, X10 \
	VMOVSD  X10, 40(DI)      \
	VADDSD  48(DI), X12, X12 \
	VMOVSD  X12, 48(DI)      \
	VMAXSD  56(DI), X7, X7   \
	VMOVSD  X7, 56(DI)       \
	VZEROUPPER               \
	RET

// func rowPaths32(w unsafe.Pointer, n int, g1, g2, gmax *float64, ahead int, out *RowPaths)
TEXT ·rowPaths32(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ g1+16(FP), DX
	MOVQ g2+24(FP), R8
	MOVQ gmax+32(FP), R9
	MOVQ ahead+40(FP), R10
	MOVQ out+48(FP), DI
	ROWPATHS(LD32, 4)

// func rowPaths64(w unsafe.Pointer, n int, g1, g2, gmax *float64, ahead int, out *RowPaths)
TEXT ·rowPaths64(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ g1+16(FP), DX
	MOVQ g2+24(FP), R8
	MOVQ gmax+32(FP), R9
	MOVQ ahead+40(FP), R10
	MOVQ out+48(FP), DI
	ROWPATHS(LD64, 8)

#define DOTHEAD \
	ABSMASK(Y15)           \
	VXORPD Y8, Y8, Y8      \
	VXORPD Y9, Y9, Y9      \
	VXORPD Y10, Y10, Y10   \
	VXORPD Y11, Y11, Y11

#define DOTTAIL \
	VADDPD Y9, Y8, Y8      \
	VADDPD Y11, Y10, Y10   \
	VADDPD Y10, Y8, Y8     \
	REDUCE(VADDPD, VADDSD, Y8, X8, Y0, X0)

#define LOAD4(LD) \
	LD(0, SI, Y0)          \
	LD(4, SI, Y1)          \
	LD(8, SI, Y2)          \
	LD(12, SI, Y3)

#define ABS4 \
	VANDPD Y15, Y0, Y0     \
	VANDPD Y15, Y1, Y1     \
	VANDPD Y15, Y2, Y2     \
	VANDPD Y15, Y3, Y3

#define SQUARE4 \
	VMULPD Y0, Y0, Y0      \
	VMULPD Y1, Y1, Y1      \
	VMULPD Y2, Y2, Y2      \
	VMULPD Y3, Y3, Y3

#define FMA4 \
	VFMADD231PD 0(DX), Y0, Y8   \
	VFMADD231PD 32(DX), Y1, Y9  \
	VFMADD231PD 64(DX), Y2, Y10 \
	VFMADD231PD 96(DX), Y3, Y11

#define DOTNEXT(SIZE) \
	ADDQ $(16*SIZE), SI    \
	ADDQ $128, DX          \
	SUBQ $16, CX           \
	JNZ  loop

#define DOT(LD, SIZE, HEAD, PART, SUMS, TAIL) \
	HEAD                   \
loop:                          \
	LOAD4(LD)              \
	PART                   \
	SUMS                   \
	DOTNEXT(SIZE)          \
	TAIL

// func dotAbs32(w unsafe.Pointer, h *float64, n int) float64
TEXT ·dotAbs32(SB), NOSPLIT, $0-32
	MOVQ w+0(FP), SI
	MOVQ h+8(FP), DX
	MOVQ n+16(FP), CX
	DOT(LD32, 4, DOTHEAD, ABS4, FMA4, DOTTAIL)
	VMOVSD X8, ret+24(FP)
	VZEROUPPER
	RET

// func dotAbs64(w unsafe.Pointer, h *float64, n int) float64
TEXT ·dotAbs64(SB), NOSPLIT, $0-32
	MOVQ w+0(FP), SI
	MOVQ h+8(FP), DX
	MOVQ n+16(FP), CX
	DOT(LD64, 8, DOTHEAD, ABS4, FMA4, DOTTAIL)
	VMOVSD X8, ret+24(FP)
	VZEROUPPER
	RET

// func dotSquares32(w unsafe.Pointer, h *float64, n int) float64
TEXT ·dotSquares32(SB), NOSPLIT, $0-32
	MOVQ w+0(FP), SI
	MOVQ h+8(FP), DX
	MOVQ n+16(FP), CX
	DOT(LD32, 4, DOTHEAD, SQUARE4, FMA4, DOTTAIL)
	VMOVSD X8, ret+24(FP)
	VZEROUPPER
	RET

// func dotSquares64(w unsafe.Pointer, h *float64, n int) float64
TEXT ·dotSquares64(SB), NOSPLIT, $0-32
	MOVQ w+0(FP), SI
	MOVQ h+8(FP), DX
	MOVQ n+16(FP), CX
	DOT(LD64, 8, DOTHEAD, SQUARE4, FMA4, DOTTAIL)
	VMOVSD X8, ret+24(FP)
	VZEROUPPER
	RET

// VMAXPD drops a NaN in its first operand, so the terms are summed too: Y12 is
// NaN when one of them was, and then so is the result.
#define MAX4 \
	VMULPD 0(DX), Y0, Y0   \
	VMULPD 32(DX), Y1, Y1  \
	VMULPD 64(DX), Y2, Y2  \
	VMULPD 96(DX), Y3, Y3  \
	VMAXPD Y0, Y8, Y8      \
	VMAXPD Y1, Y9, Y9      \
	VMAXPD Y2, Y10, Y10    \
	VMAXPD Y3, Y11, Y11    \
	VADDPD Y0, Y1, Y0      \
	VADDPD Y2, Y3, Y2      \
	VADDPD Y0, Y12, Y12    \
	VADDPD Y2, Y13, Y13

#define MAXHEAD \
	DOTHEAD                \
	VXORPD Y12, Y12, Y12   \
	VXORPD Y13, Y13, Y13

#define MAXTAIL \
	VMAXPD Y9, Y8, Y8      \
	VMAXPD Y11, Y10, Y10   \
	VMAXPD Y10, Y8, Y8     \
	VADDPD Y13, Y12, Y12   \
	REDUCE(VMAXPD, VMAXSD, Y8, X8, Y0, X0)   \
	REDUCE(VADDPD, VADDSD, Y12, X12, Y0, X0) \
	VUCOMISD X12, X12      \
	JPC    number          \
	VMOVAPD X12, X8        \
number:

// func dotMax32(w unsafe.Pointer, h *float64, n int) float64
TEXT ·dotMax32(SB), NOSPLIT, $0-32
	MOVQ w+0(FP), SI
	MOVQ h+8(FP), DX
	MOVQ n+16(FP), CX
	DOT(LD32, 4, MAXHEAD, ABS4, MAX4, MAXTAIL)
	VMOVSD X8, ret+24(FP)
	VZEROUPPER
	RET

// func dotMax64(w unsafe.Pointer, h *float64, n int) float64
TEXT ·dotMax64(SB), NOSPLIT, $0-32
	MOVQ w+0(FP), SI
	MOVQ h+8(FP), DX
	MOVQ n+16(FP), CX
	DOT(LD64, 8, MAXHEAD, ABS4, MAX4, MAXTAIL)
	VMOVSD X8, ret+24(FP)
	VZEROUPPER
	RET

// The column loops take four rows, SI, R8, R9 and R10, with their factors in
// Y4 to Y7, and add to 16 columns of dst, DI, in Y8 to Y11.
#define COLHEAD \
	LEAQ (SI)(AX*1), R8    \
	LEAQ (SI)(AX*2), R9    \
	LEAQ (R8)(AX*2), R10   \
	ABSMASK(Y15)           \
	VBROADCASTSD 0(DX), Y4 \
	VBROADCASTSD 8(DX), Y5 \
	VBROADCASTSD 16(DX), Y6 \
	VBROADCASTSD 24(DX), Y7

#define COLLOAD \
	VMOVUPD 0(DI), Y8      \
	VMOVUPD 32(DI), Y9     \
	VMOVUPD 64(DI), Y10    \
	VMOVUPD 96(DI), Y11

#define COLSTORE \
	VMOVUPD Y8, 0(DI)      \
	VMOVUPD Y9, 32(DI)     \
	VMOVUPD Y10, 64(DI)    \
	VMOVUPD Y11, 96(DI)

#define COLNEXT(SIZE) \
	ADDQ $128, DI          \
	ADDQ $(16*SIZE), SI    \
	ADDQ $(16*SIZE), R8    \
	ADDQ $(16*SIZE), R9    \
	ADDQ $(16*SIZE), R10   \
	SUBQ $16, CX           \
	JNZ  loop

#define COLROW(LD, base) \
	LD(0, base, Y0)        \
	LD(4, base, Y1)        \
	LD(8, base, Y2)        \
	LD(12, base, Y3)

#define COLFMA(f) \
	VFMADD231PD f, Y0, Y8  \
	VFMADD231PD f, Y1, Y9  \
	VFMADD231PD f, Y2, Y10 \
	VFMADD231PD f, Y3, Y11

#define COLABS(LD, base, f) \
	COLROW(LD, base)       \
	ABS4                   \
	COLFMA(f)

#define COLSQUARES(LD, base, f) \
	COLROW(LD, base)       \
	SQUARE4                \
	COLFMA(f)

// VMAXPD returns its first operand (Go's order) when either is NaN: the term,
// so that a NaN term stays; where the old value was NaN, it is put back.
#define COLMAX1(d, y, f) \
	VMULPD    f, y, y          \
	VCMPPD    $3, d, d, Y12    \
	VMAXPD    y, d, Y13        \
	VBLENDVPD Y12, d, Y13, d

#define COLMAX(LD, base, f) \
	COLROW(LD, base)       \
	ABS4                   \
	COLMAX1(Y8, Y0, f)     \
	COLMAX1(Y9, Y1, f)     \
	COLMAX1(Y10, Y2, f)    \
	COLMAX1(Y11, Y3, f)

#define COLUMNS(STEP, LD, SIZE) \
	COLHEAD                \
loop:                          \
	COLLOAD                \
	STEP(LD, SI, Y4)       \
	STEP(LD, R8, Y5)       \
	STEP(LD, R9, Y6)       \
	STEP(LD, R10, Y7)      \
	COLSTORE               \
	COLNEXT(SIZE)          \
	VZEROUPPER             \
	RET

// func columnsAbs32(dst *float64, w unsafe.Pointer, stride, n int, h *float64)
TEXT ·columnsAbs32(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ stride+16(FP), AX
	MOVQ n+24(FP), CX
	MOVQ h+32(FP), DX
	COLUMNS(COLABS, LD32, 4)

// func columnsAbs64(dst *float64, w unsafe.Pointer, stride, n int, h *float64)
TEXT ·columnsAbs64(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ stride+16(FP), AX
	MOVQ n+24(FP), CX
	MOVQ h+32(FP), DX
	COLUMNS(COLABS, LD64, 8)

// func columnsSquares32(dst *float64, w unsafe.Pointer, stride, n int, h *float64)
TEXT ·columnsSquares32(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ stride+16(FP), AX
	MOVQ n+24(FP), CX
	MOVQ h+32(FP), DX
	COLUMNS(COLSQUARES, LD32, 4)

// func columnsSquares64(dst *float64, w unsafe.Pointer, stride, n int, h *float64)
TEXT ·columnsSquares64(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ stride+16(FP), AX
	MOVQ n+24(FP), CX
	MOVQ h+32(FP), DX
	COLUMNS(COLSQUARES, LD64, 8)

// func columnsMax32(dst *float64, w unsafe.Pointer, stride, n int, h *float64)
TEXT ·columnsMax32(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ stride+16(FP), AX
	MOVQ n+24(FP), CX
	MOVQ h+32(FP), DX
	COLUMNS(COLMAX, LD32, 4)

// func columnsMax64(dst *float64, w unsafe.Pointer, stride, n int, h *float64)
TEXT ·columnsMax64(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ stride+16(FP), AX
	MOVQ n+24(FP), CX
	MOVQ h+32(FP), DX
	COLUMNS(COLMAX, LD64, 8)

#define ST32(off, y, x) \
	VCVTPD2PSY y, x        \
	VMOVUPS    x, (4*off)(DI)

#define ST64(off, y, x) VMOVUPD y, (8*off)(DI)

#define STORE4(ST) \
	ST(0, Y0, X0)          \
	ST(4, Y1, X1)          \
	ST(8, Y2, X2)          \
	ST(12, Y3, X3)

#define SCALE(LD, ST, SIZE) \
loop:                          \
	LOAD4(LD)              \
	VMULPD 0(DX), Y4, Y5   \
	VMULPD 32(DX), Y4, Y6  \
	VMULPD 64(DX), Y4, Y7  \
	VMULPD 96(DX), Y4, Y8  \
	VMULPD Y5, Y0, Y0      \
	VMULPD Y6, Y1, Y1      \
	VMULPD Y7, Y2, Y2      \
	VMULPD Y8, Y3, Y3      \
	STORE4(ST)             \
	ADDQ $(16*SIZE), DI    \
	DOTNEXT(SIZE)          \
	VZEROUPPER             \
	RET

// func scale32(dst, src unsafe.Pointer, c *float64, r float64, n int)
TEXT ·scale32(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ c+16(FP), DX
	VBROADCASTSD r+24(FP), Y4
	MOVQ n+32(FP), CX
	SCALE(LD32, ST32, 4)

// func scale64(dst, src unsafe.Pointer, c *float64, r float64, n int)
TEXT ·scale64(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ c+16(FP), DX
	VBROADCASTSD r+24(FP), Y4
	MOVQ n+32(FP), CX
	SCALE(LD64, ST64, 8)

#define SCALECONST(LD, ST, SIZE) \
loop:                          \
	LOAD4(LD)              \
	VMULPD Y4, Y0, Y0      \
	VMULPD Y4, Y1, Y1      \
	VMULPD Y4, Y2, Y2      \
	VMULPD Y4, Y3, Y3      \
	STORE4(ST)             \
	ADDQ $(16*SIZE), DI    \
	ADDQ $(16*SIZE), SI    \
	SUBQ $16, CX           \
	JNZ  loop              \
	VZEROUPPER             \
	RET

// func scaleConst32(dst, src unsafe.Pointer, r float64, n int)
TEXT ·scaleConst32(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	VBROADCASTSD r+16(FP), Y4
	MOVQ n+24(FP), CX
	SCALECONST(LD32, ST32, 4)

// func scaleConst64(dst, src unsafe.Pointer, r float64, n int)
TEXT ·scaleConst64(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	VBROADCASTSD r+16(FP), Y4
	MOVQ n+24(FP), CX
	SCALECONST(LD64, ST64, 8)

// func widen(dst *float64, src *float32, n int)
TEXT ·widen(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
loop:
	LOAD4(LD32)
	STORE4(ST64)
	ADDQ $128, DI
	ADDQ $64, SI
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET
