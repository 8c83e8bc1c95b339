//go:build amd64 && !purego

#include "textflag.h"

// LD32 widens four float32, LD64 loads four float64, LDS eight float32; the index
// counts elements.
#define LD32(off, base, i, y) VCVTPS2PD (4*off)(base)(i*4), y
#define LD64(off, base, i, y) VMOVUPD (8*off)(base)(i*8), y
#define LDS(off, base, i, y) VMOVUPS (4*off)(base)(i*4), y
#define AT32(off, base, y) VCVTPS2PD (4*off)(base), y
#define AT64(off, base, y) VMOVUPD (8*off)(base), y

// One vector of columns: three rows at SI, R8 and R9 times four vectors at DX, R10,
// R11 and R12, of numbers of VSIZE bytes. Sums of row r and vector k are in Y(4r+k).
#define DOTSTEP(LD, MOV, FMA, VSIZE, off) \
	LD(off, SI, AX, Y12)                  \
	LD(off, R8, AX, Y13)                  \
	LD(off, R9, AX, Y14)                  \
	MOV (VSIZE*off)(DX)(AX*VSIZE), Y15    \
	FMA Y12, Y15, Y0                      \
	FMA Y13, Y15, Y4                      \
	FMA Y14, Y15, Y8                      \
	MOV (VSIZE*off)(R10)(AX*VSIZE), Y15   \
	FMA Y12, Y15, Y1                      \
	FMA Y13, Y15, Y5                      \
	FMA Y14, Y15, Y9                      \
	MOV (VSIZE*off)(R11)(AX*VSIZE), Y15   \
	FMA Y12, Y15, Y2                      \
	FMA Y13, Y15, Y6                      \
	FMA Y14, Y15, Y10                     \
	MOV (VSIZE*off)(R12)(AX*VSIZE), Y15   \
	FMA Y12, Y15, Y3                      \
	FMA Y13, Y15, Y7                      \
	FMA Y14, Y15, Y11

// Sixteen columns, as vectors of four float64 or of eight float32.
#define WIDESTEPS(LD) \
	DOTSTEP(LD, VMOVUPD, VFMADD231PD, 8, 0)  \
	DOTSTEP(LD, VMOVUPD, VFMADD231PD, 8, 4)  \
	DOTSTEP(LD, VMOVUPD, VFMADD231PD, 8, 8)  \
	DOTSTEP(LD, VMOVUPD, VFMADD231PD, 8, 12)

#define NARROWSTEPS(LD) \
	DOTSTEP(LD, VMOVUPS, VFMADD231PS, 4, 0)  \
	DOTSTEP(LD, VMOVUPS, VFMADD231PS, 4, 8)

// ADDSUMS adds the sums of the lanes of a, b, c and d to four numbers at off
// into DI.
#define ADDSUMS(a, b, c, d, off) \
	VHADDPD    b, a, a          \
	VHADDPD    d, c, c          \
	VPERM2F128 $0x21, c, a, b   \
	VBLENDPD   $12, c, a, a     \
	VADDPD     b, a, a          \
	VADDPD     off(DI), a, a    \
	VMOVUPD    a, off(DI)

// ADDSUMSNARROW adds the sums of the lanes of a, b, c and d, whose lower halves
// are xa and xb for two of them, to four float32 at off into DI.
#define ADDSUMSNARROW(a, b, c, d, xa, xb, off) \
	VHADDPS      b, a, a           \
	VHADDPS      d, c, c           \
	VHADDPS      c, a, a           \
	VEXTRACTF128 $1, a, xb         \
	VADDPS       xb, xa, xa        \
	VADDPS       off(DI), xa, xa   \
	VMOVUPS      xa, off(DI)

#define WIDESUMS \
	ADDSUMS(Y0, Y1, Y2, Y3, 0)    \
	ADDSUMS(Y4, Y5, Y6, Y7, 32)   \
	ADDSUMS(Y8, Y9, Y10, Y11, 64)

#define NARROWSUMS \
	ADDSUMSNARROW(Y0, Y1, Y2, Y3, X0, X1, 0)    \
	ADDSUMSNARROW(Y4, Y5, Y6, Y7, X4, X5, 16)   \
	ADDSUMSNARROW(Y8, Y9, Y10, Y11, X8, X9, 32)

// FETCH asks for the weights BX bytes behind column AX of the row at base: they
// belong to the tile that is multiplied next, of which the dot products fetch one
// half and the additions the other. Its rows are too short runs for the processor
// to foresee.
#define FETCH(base, SIZE) \
	LEAQ       (base)(AX*SIZE), R13 \
	PREFETCHT1 (R13)(BX*1)

#define DOTS(LD, SIZE, STEPS, SUMS) \
	LEAQ   (SI)(R8*2), R9     \
	ADDQ   SI, R8             \
	LEAQ   (DX)(R10*2), R11   \
	LEAQ   (R11)(R10*1), R12  \
	ADDQ   DX, R10            \
	VXORPD Y0, Y0, Y0         \
	VXORPD Y1, Y1, Y1         \
	VXORPD Y2, Y2, Y2         \
	VXORPD Y3, Y3, Y3         \
	VXORPD Y4, Y4, Y4         \
	VXORPD Y5, Y5, Y5         \
	VXORPD Y6, Y6, Y6         \
	VXORPD Y7, Y7, Y7         \
	VXORPD Y8, Y8, Y8         \
	VXORPD Y9, Y9, Y9         \
	VXORPD Y10, Y10, Y10      \
	VXORPD Y11, Y11, Y11      \
	XORQ   AX, AX             \
loop:                             \
	STEPS(LD)                 \
	FETCH(SI, SIZE)           \
	FETCH(R8, SIZE)           \
	FETCH(R9, SIZE)           \
	ADDQ   $16, AX            \
	CMPQ   AX, CX             \
	JLT    loop               \
	SUMS                      \
	VZEROUPPER                \
	RET

// func gramDots32(y, w unsafe.Pointer, wstride, n int, v unsafe.Pointer, vstride, ahead int)
TEXT ·gramDots32(SB), NOSPLIT, $0-56
	MOVQ y+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ wstride+16(FP), R8
	MOVQ n+24(FP), CX
	MOVQ v+32(FP), DX
	MOVQ vstride+40(FP), R10
	MOVQ ahead+48(FP), BX
	DOTS(LD32, 4, WIDESTEPS, WIDESUMS)

// func gramDots64(y, w unsafe.Pointer, wstride, n int, v unsafe.Pointer, vstride, ahead int)
TEXT ·gramDots64(SB), NOSPLIT, $0-56
	MOVQ y+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ wstride+16(FP), R8
	MOVQ n+24(FP), CX
	MOVQ v+32(FP), DX
	MOVQ vstride+40(FP), R10
	MOVQ ahead+48(FP), BX
	DOTS(LD64, 8, WIDESTEPS, WIDESUMS)

// One row of eight columns at SI, with four factors at DX.
#define ADDSTEP(AT) \
	AT(0, SI, Y8)                \
	AT(4, SI, Y9)                \
	PREFETCHT1 (SI)(BX*1)         \
	VBROADCASTSD 0(DX), Y10       \
	VFMADD231PD  Y8, Y10, Y0      \
	VFMADD231PD  Y9, Y10, Y1      \
	VBROADCASTSD 8(DX), Y11       \
	VFMADD231PD  Y8, Y11, Y2      \
	VFMADD231PD  Y9, Y11, Y3      \
	VBROADCASTSD 16(DX), Y12      \
	VFMADD231PD  Y8, Y12, Y4      \
	VFMADD231PD  Y9, Y12, Y5      \
	VBROADCASTSD 24(DX), Y13      \
	VFMADD231PD  Y8, Y13, Y6      \
	VFMADD231PD  Y9, Y13, Y7

#define ADD(AT, SIZE) \
	LEAQ    (R8)(R8*2), R12    \
	SHLQ    $5, R13            \
	ADDQ    R11, R13           \
	XORQ    AX, AX             \
columns:                           \
	VMOVUPD 0(DI), Y0          \
	VMOVUPD 32(DI), Y1         \
	VMOVUPD 0(DI)(R8*1), Y2    \
	VMOVUPD 32(DI)(R8*1), Y3   \
	VMOVUPD 0(DI)(R8*2), Y4    \
	VMOVUPD 32(DI)(R8*2), Y5   \
	VMOVUPD 0(DI)(R12*1), Y6   \
	VMOVUPD 32(DI)(R12*1), Y7  \
	LEAQ    (R9)(AX*SIZE), SI  \
	MOVQ    R11, DX            \
rows:                              \
	ADDSTEP(AT)               \
	ADDQ    R10, SI            \
	ADDQ    $32, DX            \
	CMPQ    DX, R13            \
	JLT     rows               \
	VMOVUPD Y0, 0(DI)          \
	VMOVUPD Y1, 32(DI)         \
	VMOVUPD Y2, 0(DI)(R8*1)    \
	VMOVUPD Y3, 32(DI)(R8*1)   \
	VMOVUPD Y4, 0(DI)(R8*2)    \
	VMOVUPD Y5, 32(DI)(R8*2)   \
	VMOVUPD Y6, 0(DI)(R12*1)   \
	VMOVUPD Y7, 32(DI)(R12*1)  \
	ADDQ    $64, DI            \
	ADDQ    $8, AX             \
	CMPQ    AX, CX             \
	JLT     columns            \
	VZEROUPPER                 \
	RET

// func gramAdd32(z *float64, zstride int, w unsafe.Pointer, wstride, n int, y unsafe.Pointer, rows, ahead int)
TEXT ·gramAdd32(SB), NOSPLIT, $0-64
	MOVQ z+0(FP), DI
	MOVQ zstride+8(FP), R8
	MOVQ w+16(FP), R9
	MOVQ wstride+24(FP), R10
	MOVQ n+32(FP), CX
	MOVQ y+40(FP), R11
	MOVQ rows+48(FP), R13
	MOVQ ahead+56(FP), BX
	ADD(AT32, 4)

// func gramAdd64(z *float64, zstride int, w unsafe.Pointer, wstride, n int, y unsafe.Pointer, rows, ahead int)
TEXT ·gramAdd64(SB), NOSPLIT, $0-64
	MOVQ z+0(FP), DI
	MOVQ zstride+8(FP), R8
	MOVQ w+16(FP), R9
	MOVQ wstride+24(FP), R10
	MOVQ n+32(FP), CX
	MOVQ y+40(FP), R11
	MOVQ rows+48(FP), R13
	MOVQ ahead+56(FP), BX
	ADD(AT64, 8)

// func gramDotsNarrow(y, w unsafe.Pointer, wstride, n int, v unsafe.Pointer, vstride, ahead int)
TEXT ·gramDotsNarrow(SB), NOSPLIT, $0-56
	MOVQ y+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ wstride+16(FP), R8
	MOVQ n+24(FP), CX
	MOVQ v+32(FP), DX
	MOVQ vstride+40(FP), R10
	MOVQ ahead+48(FP), BX
	DOTS(LDS, 4, NARROWSTEPS, NARROWSUMS)

// ADDWIDE adds the eight float32 of y, whose lower half is x, to float64 at
// 0(base) and 32(base).
#define ADDWIDE(y, x, base) \
	VCVTPS2PD    x, Y8             \
	VEXTRACTF128 $1, y, x          \
	VCVTPS2PD    x, Y9             \
	VADDPD       0(base), Y8, Y8   \
	VADDPD       32(base), Y9, Y9  \
	VMOVUPD      Y8, 0(base)       \
	VMOVUPD      Y9, 32(base)

// func gramAddNarrow(z *float64, zstride int, w unsafe.Pointer, wstride, n int, y unsafe.Pointer, rows, ahead int)
TEXT ·gramAddNarrow(SB), NOSPLIT, $0-64
	MOVQ z+0(FP), DI
	MOVQ zstride+8(FP), R8
	MOVQ w+16(FP), R9
	MOVQ wstride+24(FP), R10
	MOVQ n+32(FP), CX
	MOVQ y+40(FP), R11
	MOVQ rows+48(FP), R13
	MOVQ ahead+56(FP), BX
	SHLQ $4, R13
	ADDQ R11, R13
	XORQ AX, AX

columns:
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	LEAQ   (R9)(AX*4), SI
	MOVQ   R11, DX

rows:
	VMOVUPS      0(SI), Y8
	VMOVUPS      32(SI), Y9
	PREFETCHT1   (SI)(BX*1)
	VBROADCASTSS 0(DX), Y10
	VFMADD231PS  Y8, Y10, Y0
	VFMADD231PS  Y9, Y10, Y1
	VBROADCASTSS 4(DX), Y11
	VFMADD231PS  Y8, Y11, Y2
	VFMADD231PS  Y9, Y11, Y3
	VBROADCASTSS 8(DX), Y12
	VFMADD231PS  Y8, Y12, Y4
	VFMADD231PS  Y9, Y12, Y5
	VBROADCASTSS 12(DX), Y13
	VFMADD231PS  Y8, Y13, Y6
	VFMADD231PS  Y9, Y13, Y7
	ADDQ         R10, SI
	ADDQ         $16, DX
	CMPQ         DX, R13
	JLT          rows
	LEAQ         64(DI), SI
	ADDWIDE(Y0, X0, DI)
	ADDWIDE(Y1, X1, SI)
	LEAQ         (DI)(R8*1), R12
	LEAQ         64(R12), SI
	ADDWIDE(Y2, X2, R12)
	ADDWIDE(Y3, X3, SI)
	ADDQ         R8, R12
	LEAQ         64(R12), SI
	ADDWIDE(Y4, X4, R12)
	ADDWIDE(Y5, X5, SI)
	ADDQ         R8, R12
	LEAQ         64(R12), SI
	ADDWIDE(Y6, X6, R12)
	ADDWIDE(Y7, X7, SI)
	ADDQ         $128, DI
	ADDQ         $16, AX
	CMPQ         AX, CX
	JLT          columns
	VZEROUPPER
	RET
