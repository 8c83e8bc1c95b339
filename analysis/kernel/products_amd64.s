//go:build amd64 && !purego

#include "textflag.h"

#include "weights.h"

// See avx2_amd64.s for what is common to all loops.

DATA magnitude32<>+0(SB)/4, $0x7fffffff
GLOBL magnitude32<>(SB), RODATA|NOPTR, $4

// The loops take four rows, SI, R8, R9 and R10, of 16 columns: four steps of
// four columns with the factors x in Y0 and the columns' results in Y1. The rows'
// factors are in Y4 to Y7, their results in Y8 to Y11.
#define PRODABS(LD, off, base, f, acc) \
	LD(off, base, Y2)            \
	VANDPD      Y15, Y2, Y2      \
	VFMADD231PD Y0, Y2, acc      \
	VFMADD231PD f, Y2, Y1

#define PRODSQUARES(LD, off, base, f, acc) \
	LD(off, base, Y2)            \
	VMULPD      Y2, Y2, Y2       \
	VFMADD231PD Y0, Y2, acc      \
	VFMADD231PD f, Y2, Y1

// VMAXPD returns its first operand (Go's order) when either is NaN: the old
// value, so that a NaN product changes nothing.
#define PRODMAX(LD, off, base, f, acc) \
	LD(off, base, Y2)            \
	VANDPD      Y15, Y2, Y2      \
	VMULPD      Y0, Y2, Y3       \
	VMAXPD      acc, Y3, acc     \
	VMULPD      f, Y2, Y2        \
	VMAXPD      Y1, Y2, Y1

#define PRODSTEP(STEP, LD, off) \
	VMOVUPD (8*off)(DX), Y0      \
	VMOVUPD (8*off)(DI), Y1      \
	STEP(LD, off, SI, Y4, Y8)    \
	STEP(LD, off, R8, Y5, Y9)    \
	STEP(LD, off, R9, Y6, Y10)   \
	STEP(LD, off, R10, Y7, Y11)  \
	VMOVUPD Y1, (8*off)(DI)

// Lines of weights are fetched that far ahead, which carries the reading over
// the ends of pages, where the hardware's prefetching stops.
#define AHEAD 1024

#define FETCH4(off) \
	PREFETCHT0 (AHEAD+off)(SI)   \
	PREFETCHT0 (AHEAD+off)(R8)   \
	PREFETCHT0 (AHEAD+off)(R9)   \
	PREFETCHT0 (AHEAD+off)(R10)

#define FETCH32 FETCH4(0)
#define FETCH64 FETCH4(0) FETCH4(64)

// PUT takes a row's result to the memory at off.
#define PUT(OP, OPS, y, x, off) \
	REDUCE(OP, OPS, y, x, Y0, X0) \
	OPS    off(R11), x, x        \
	VMOVSD x, off(R11)

#define PRODUCTS(STEP, OP, OPS, LD, SIZE, FETCH) \
	LEAQ (SI)(AX*1), R8          \
	LEAQ (SI)(AX*2), R9          \
	LEAQ (R8)(AX*2), R10         \
	ABSMASK(Y15)                 \
	VBROADCASTSD 0(BX), Y4       \
	VBROADCASTSD 8(BX), Y5       \
	VBROADCASTSD 16(BX), Y6      \
	VBROADCASTSD 24(BX), Y7      \
	VXORPD Y8, Y8, Y8            \
	VXORPD Y9, Y9, Y9            \
	VXORPD Y10, Y10, Y10         \
	VXORPD Y11, Y11, Y11         \
loop:                                \
	FETCH                        \
	PRODSTEP(STEP, LD, 0)        \
	PRODSTEP(STEP, LD, 4)        \
	PRODSTEP(STEP, LD, 8)        \
	PRODSTEP(STEP, LD, 12)       \
	ADDQ $128, DI                \
	ADDQ $128, DX                \
	ADDQ $(16*SIZE), SI          \
	ADDQ $(16*SIZE), R8          \
	ADDQ $(16*SIZE), R9          \
	ADDQ $(16*SIZE), R10         \
	SUBQ $16, CX                 \
	JNZ  loop                    \
	PUT(OP, OPS, Y8, X8, 0)      \
	PUT(OP, OPS, Y9, X9, 8)      \
	PUT(OP, OPS, Y10, X10, 16)   \
	PUT(OP, OPS, Y11, X11, 24)   \
	VZEROUPPER                   \
	RET

// func productsAbs32(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)
TEXT ·productsAbs32(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ y+32(FP), BX
	MOVQ ax+40(FP), R11
	MOVQ aty+48(FP), DI
	PRODUCTS(PRODABS, VADDPD, VADDSD, LD32, 4, FETCH32)

// func productsAbs64(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)
TEXT ·productsAbs64(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ y+32(FP), BX
	MOVQ ax+40(FP), R11
	MOVQ aty+48(FP), DI
	PRODUCTS(PRODABS, VADDPD, VADDSD, LD64, 8, FETCH64)

// func productsSquares32(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)
TEXT ·productsSquares32(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ y+32(FP), BX
	MOVQ ax+40(FP), R11
	MOVQ aty+48(FP), DI
	PRODUCTS(PRODSQUARES, VADDPD, VADDSD, LD32, 4, FETCH32)

// func productsSquares64(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)
TEXT ·productsSquares64(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ y+32(FP), BX
	MOVQ ax+40(FP), R11
	MOVQ aty+48(FP), DI
	PRODUCTS(PRODSQUARES, VADDPD, VADDSD, LD64, 8, FETCH64)

// func productsMax32(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)
TEXT ·productsMax32(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ y+32(FP), BX
	MOVQ ax+40(FP), R11
	MOVQ aty+48(FP), DI
	PRODUCTS(PRODMAX, VMAXPD, VMAXSD, LD32, 4, FETCH32)

// func productsMax64(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)
TEXT ·productsMax64(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ y+32(FP), BX
	MOVQ ax+40(FP), R11
	MOVQ aty+48(FP), DI
	PRODUCTS(PRODMAX, VMAXPD, VMAXSD, LD64, 8, FETCH64)

// Along rows only: the columns' factors in Y0 serve four rows, whose results are
// in Y8 to Y11.
#define DOTABS(LD, off, base, acc) \
	LD(off, base, Y2)            \
	VANDPD      Y15, Y2, Y2      \
	VFMADD231PD Y0, Y2, acc

#define DOTSQUARES(LD, off, base, acc) \
	LD(off, base, Y2)            \
	VMULPD      Y2, Y2, Y2       \
	VFMADD231PD Y0, Y2, acc

#define DOTSSTEP(STEP, LD, off) \
	VMOVUPD (8*off)(DX), Y0      \
	STEP(LD, off, SI, Y8)        \
	STEP(LD, off, R8, Y9)        \
	STEP(LD, off, R9, Y10)       \
	STEP(LD, off, R10, Y11)

#define DOTS(STEP, LD, SIZE, FETCH) \
	LEAQ (SI)(AX*1), R8          \
	LEAQ (SI)(AX*2), R9          \
	LEAQ (R8)(AX*2), R10         \
	ABSMASK(Y15)                 \
	VXORPD Y8, Y8, Y8            \
	VXORPD Y9, Y9, Y9            \
	VXORPD Y10, Y10, Y10         \
	VXORPD Y11, Y11, Y11         \
loop:                                \
	FETCH                        \
	DOTSSTEP(STEP, LD, 0)        \
	DOTSSTEP(STEP, LD, 4)        \
	DOTSSTEP(STEP, LD, 8)        \
	DOTSSTEP(STEP, LD, 12)       \
	ADDQ $128, DX                \
	ADDQ $(16*SIZE), SI          \
	ADDQ $(16*SIZE), R8          \
	ADDQ $(16*SIZE), R9          \
	ADDQ $(16*SIZE), R10         \
	SUBQ $16, CX                 \
	JNZ  loop                    \
	PUT(VADDPD, VADDSD, Y8, X8, 0)    \
	PUT(VADDPD, VADDSD, Y9, X9, 8)    \
	PUT(VADDPD, VADDSD, Y10, X10, 16) \
	PUT(VADDPD, VADDSD, Y11, X11, 24) \
	VZEROUPPER                   \
	RET

// func dotsAbs32(w unsafe.Pointer, stride, n int, x, sums *float64)
TEXT ·dotsAbs32(SB), NOSPLIT, $0-40
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ sums+32(FP), R11
	DOTS(DOTABS, LD32, 4, FETCH32)

// func dotsAbs64(w unsafe.Pointer, stride, n int, x, sums *float64)
TEXT ·dotsAbs64(SB), NOSPLIT, $0-40
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ sums+32(FP), R11
	DOTS(DOTABS, LD64, 8, FETCH64)

// func dotsSquares32(w unsafe.Pointer, stride, n int, x, sums *float64)
TEXT ·dotsSquares32(SB), NOSPLIT, $0-40
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ sums+32(FP), R11
	DOTS(DOTSQUARES, LD32, 4, FETCH32)

// func dotsSquares64(w unsafe.Pointer, stride, n int, x, sums *float64)
TEXT ·dotsSquares64(SB), NOSPLIT, $0-40
	MOVQ w+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ sums+32(FP), R11
	DOTS(DOTSQUARES, LD64, 8, FETCH64)

// Magnitudes are compared as integers, among which NaN is beyond infinity.

// func maxAbs32(w unsafe.Pointer, n int) uint64
TEXT ·maxAbs32(SB), NOSPLIT, $0-24
	MOVQ w+0(FP), SI
	MOVQ n+8(FP), CX
	VPBROADCASTD magnitude32<>(SB), Y15
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
loop:
	PREFETCHT0 4096(SI)
	VPAND   0(SI), Y15, Y0
	VPAND   32(SI), Y15, Y1
	VPMAXUD Y0, Y4, Y4
	VPMAXUD Y1, Y5, Y5
	ADDQ $64, SI
	SUBQ $16, CX
	JNZ  loop
	VPMAXUD Y5, Y4, Y4
	VEXTRACTI128 $1, Y4, X0
	VPMAXUD X0, X4, X4
	VPSHUFD $0x4e, X4, X0
	VPMAXUD X0, X4, X4
	VPSHUFD $0xb1, X4, X0
	VPMAXUD X0, X4, X4
	VMOVD X4, AX
	MOVQ AX, ret+16(FP)
	VZEROUPPER
	RET

#define LARGER64(y, t, acc) \
	VPCMPGTQ  acc, y, t          \
	VBLENDVPD t, y, acc, acc

// func maxAbs64(w unsafe.Pointer, n int) uint64
TEXT ·maxAbs64(SB), NOSPLIT, $0-24
	MOVQ w+0(FP), SI
	MOVQ n+8(FP), CX
	VPBROADCASTQ absmask<>(SB), Y15
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
loop:
	PREFETCHT0 4096(SI)
	PREFETCHT0 4160(SI)
	VPAND 0(SI), Y15, Y0
	VPAND 32(SI), Y15, Y1
	VPAND 64(SI), Y15, Y2
	VPAND 96(SI), Y15, Y3
	LARGER64(Y0, Y6, Y4)
	LARGER64(Y1, Y7, Y5)
	LARGER64(Y2, Y6, Y4)
	LARGER64(Y3, Y7, Y5)
	ADDQ $128, SI
	SUBQ $16, CX
	JNZ  loop
	LARGER64(Y5, Y6, Y4)
	VEXTRACTI128 $1, Y4, X0
	VPCMPGTQ  X4, X0, X1
	VBLENDVPD X1, X0, X4, X4
	VPSHUFD $0x4e, X4, X0
	VPCMPGTQ  X4, X0, X1
	VBLENDVPD X1, X0, X4, X4
	VMOVQ X4, AX
	MOVQ AX, ret+16(FP)
	VZEROUPPER
	RET

// One vector of above: whether a product in y reaches the row's floor, Y5, or
// its column's, in t; the row's factor is Y4. Bits gather in Y6.
#define ABOVESTEP(LD, off) \
	LD(off, SI, Y0)              \
	VANDPD  Y15, Y0, Y0          \
	VMULPD  Y4, Y0, Y0           \
	VMULPD  (8*off)(DX), Y0, Y0  \
	VMINPD  (8*off)(R8), Y5, Y1  \
	VCMPPD  $0x1d, Y1, Y0, Y1    \
	VORPD   Y1, Y6, Y6

#define ABOVE(LD, SIZE) \
	MOVQ CX, BX                  \
	ABSMASK(Y15)                 \
loop:                                \
	PREFETCHT0 (AHEAD)(SI)       \
	PREFETCHT0 (AHEAD+16*SIZE-64)(SI) \
	VXORPD Y6, Y6, Y6            \
	ABOVESTEP(LD, 0)             \
	ABOVESTEP(LD, 4)             \
	ABOVESTEP(LD, 8)             \
	ABOVESTEP(LD, 12)            \
	VPTEST Y6, Y6                \
	JNZ  found                   \
	ADDQ $(16*SIZE), SI          \
	ADDQ $128, DX                \
	ADDQ $128, R8                \
	SUBQ $16, CX                 \
	JNZ  loop                    \
found:                               \
	SUBQ CX, BX

// func above32(w unsafe.Pointer, n int, r float64, c *float64, floor float64, floors *float64) int
TEXT ·above32(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSD r+16(FP), Y4
	MOVQ c+24(FP), DX
	VBROADCASTSD floor+32(FP), Y5
	MOVQ floors+40(FP), R8
	ABOVE(LD32, 4)
	MOVQ BX, ret+48(FP)
	VZEROUPPER
	RET

// func above64(w unsafe.Pointer, n int, r float64, c *float64, floor float64, floors *float64) int
TEXT ·above64(SB), NOSPLIT, $0-56
	MOVQ w+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSD r+16(FP), Y4
	MOVQ c+24(FP), DX
	VBROADCASTSD floor+32(FP), Y5
	MOVQ floors+40(FP), R8
	ABOVE(LD64, 8)
	MOVQ BX, ret+48(FP)
	VZEROUPPER
	RET

// A row's four columns with both vectors, Y0 and Y1.
#define PAIRMAX(base, acc0, acc1) \
	VMOVUPD (base), Y2           \
	VMULPD  Y0, Y2, Y3           \
	VMAXPD  acc0, Y3, acc0       \
	VMULPD  Y1, Y2, Y4           \
	VMAXPD  acc1, Y4, acc1       \
	ADDQ    $32, base

// PUTPAIR takes a row's results to the two numbers at R11 and goes to the next row.
#define PUTPAIR(y0, x0, y1, x1) \
	REDUCE(VMAXPD, VMAXSD, y0, x0, Y2, X2) \
	REDUCE(VMAXPD, VMAXSD, y1, x1, Y3, X3) \
	VMAXSD 0(R11), x0, x0        \
	VMAXSD 8(R11), x1, x1        \
	VMOVSD x0, 0(R11)            \
	VMOVSD x1, 8(R11)            \
	ADDQ   R12, R11

// func pairsMax(a *float64, stride, n int, x *float64, dst *float64, dstStride int)
TEXT ·pairsMax(SB), NOSPLIT, $0-48
	MOVQ a+0(FP), SI
	MOVQ stride+8(FP), AX
	MOVQ n+16(FP), CX
	MOVQ x+24(FP), DX
	MOVQ dst+32(FP), R11
	MOVQ dstStride+40(FP), R12
	LEAQ (SI)(AX*1), R8
	LEAQ (SI)(AX*2), R9
	LEAQ (R8)(AX*2), R10
	LEAQ (DX)(AX*1), DI
	VXORPD Y5, Y5, Y5
	VXORPD Y6, Y6, Y6
	VXORPD Y7, Y7, Y7
	VXORPD Y8, Y8, Y8
	VXORPD Y9, Y9, Y9
	VXORPD Y10, Y10, Y10
	VXORPD Y11, Y11, Y11
	VXORPD Y12, Y12, Y12
pairs:
	VMOVUPD (DX), Y0
	VMOVUPD (DI), Y1
	PAIRMAX(SI, Y5, Y6)
	PAIRMAX(R8, Y7, Y8)
	PAIRMAX(R9, Y9, Y10)
	PAIRMAX(R10, Y11, Y12)
	ADDQ $32, DX
	ADDQ $32, DI
	SUBQ $4, CX
	JNZ  pairs
	PUTPAIR(Y5, X5, Y6, X6)
	PUTPAIR(Y7, X7, Y8, X8)
	PUTPAIR(Y9, X9, Y10, X10)
	PUTPAIR(Y11, X11, Y12, X12)
	VZEROUPPER
	RET
