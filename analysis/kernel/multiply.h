// The products of Multiply in panels of some rows. What is not defined here is that of one type of numbers:
// NAME of the function, SIZE of a number, ALPHA, and instructions; and that of one size of vectors: the bytes of a
// VECTOR, registers B0, B1 and B2 for those of B and FACTOR for alpha, ZERO, an instruction, POINTERS, which takes
// the beginnings of a panel's rows of A from SI on, and ROWS(M), which is M of each row: its beginning, a register
// for its terms, and three for its sums.
//
// A row of the result is in three, two or one registers: a macro with such a number at its end is for so many.
// CX is how far the next term of a row of A lies behind its beginning.

#define BEGIN(row, p) \
	MOVQ row(SI), p \
	LEAQ (DX)(p*SIZE), p

#define CLEAR(row, x, u, v, w) \
	ZERO u, u, u \
	ZERO v, v, v \
	ZERO w, w, w

#define TERM1(row, x, u, v, w) \
	BROADCAST (row)(CX*1), x \
	FMA B0, x, u

#define TERM2(row, x, u, v, w) \
	TERM1(row, x, u, v, w) \
	FMA B1, x, v

#define TERM3(row, x, u, v, w) \
	TERM2(row, x, u, v, w) \
	FMA B2, x, w

#define SCALE1(row, x, u, v, w) \
	MUL FACTOR, u, u

#define SCALE2(row, x, u, v, w) \
	MUL FACTOR, u, u \
	MUL FACTOR, v, v

#define SCALE3(row, x, u, v, w) \
	SCALE2(row, x, u, v, w) \
	MUL FACTOR, w, w

#define ADD1(row, x, u, v, w) \
	ADD (R8), u, u \
	ADDQ R9, R8

#define ADD2(row, x, u, v, w) \
	ADD (R8), u, u \
	ADD VECTOR(R8), v, v \
	ADDQ R9, R8

#define ADD3(row, x, u, v, w) \
	ADD (R8), u, u \
	ADD VECTOR(R8), v, v \
	ADD (2*VECTOR)(R8), w, w \
	ADDQ R9, R8

#define STORE1(row, x, u, v, w) \
	MOVE u, (R8) \
	ADDQ R9, R8

#define STORE2(row, x, u, v, w) \
	MOVE u, (R8) \
	MOVE v, VECTOR(R8) \
	ADDQ R9, R8

#define STORE3(row, x, u, v, w) \
	MOVE u, (R8) \
	MOVE v, VECTOR(R8) \
	MOVE w, (2*VECTOR)(R8) \
	ADDQ R9, R8

#define FETCH1(row, x, u, v, w) \
	PREFETCHT0 (R15) \
	PREFETCHT0 (VECTOR-4)(R15) \
	ADDQ R14, R15

#define FETCH2(row, x, u, v, w) \
	PREFETCHT0 (R15) \
	PREFETCHT0 VECTOR(R15) \
	PREFETCHT0 (2*VECTOR-4)(R15) \
	ADDQ R14, R15

#define FETCH3(row, x, u, v, w) \
	PREFETCHT0 (R15) \
	PREFETCHT0 VECTOR(R15) \
	PREFETCHT0 (2*VECTOR)(R15) \
	PREFETCHT0 (3*VECTOR-4)(R15) \
	ADDQ R14, R15

#define LOAD1(b) \
	MOVE (b), B0

#define LOAD2(b) \
	MOVE (b), B0 \
	MOVE VECTOR(b), B1

#define LOAD3(b) \
	LOAD2(b) \
	MOVE (2*VECTOR)(b), B2

// Panels of results in so many registers. The names before the macros are labels.
#define PANELS(panel, listed, each, summed, store, FETCH, LOAD, TERM, SCALE, ADDED, STORE) \
panel: \
	MOVQ multiply_c(DI), R15 \
	MOVQ multiply_ldc(DI), R14 \
	ROWS(FETCH) \
	MOVQ multiply_a(DI), DX \
	MOVQ multiply_rows(DI), SI \
	POINTERS \
	MOVQ SI, multiply_rows(DI) \
	ROWS(CLEAR) \
	XORQ CX, CX \
	MOVQ multiply_k(DI), R14 \
	MOVQ multiply_b(DI), DX \
	MOVQ multiply_at(DI), SI \
	TESTQ SI, SI \
	JZ   each \
listed: \
	MOVQ (SI), R15 \
	LEAQ (DX)(R15*SIZE), R15 \
	LOAD(R15) \
	ROWS(TERM) \
	ADDQ multiply_step(DI), CX \
	ADDQ $8, SI \
	DECQ R14 \
	JNZ  listed \
	JMP  summed \
each: \
	LOAD(DX) \
	ROWS(TERM) \
	ADDQ multiply_step(DI), CX \
	ADDQ multiply_stride(DI), DX \
	DECQ R14 \
	JNZ  each \
summed: \
	BROADCAST ALPHA(DI), FACTOR \
	MOVQ multiply_ldc(DI), R9 \
	ROWS(SCALE) \
	CMPQ multiply_add(DI), $0 \
	JEQ  store \
	MOVQ multiply_c(DI), R8 \
	ROWS(ADDED) \
store: \
	MOVQ multiply_c(DI), R8 \
	ROWS(STORE) \
	MOVQ R8, multiply_c(DI) \
	DECQ multiply_panels(DI) \
	JNZ  panel \
	VZEROUPPER \
	RET

TEXT NAME(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), DI
	CMPQ multiply_vectors(DI), $2
	JLT  one
	JEQ  two
	PANELS(three, threelisted, threeeach, threesummed, threestore, FETCH3, LOAD3, TERM3, SCALE3, ADD3, STORE3)
	PANELS(two, twolisted, twoeach, twosummed, twostore, FETCH2, LOAD2, TERM2, SCALE2, ADD2, STORE2)
	PANELS(one, onelisted, oneeach, onesummed, onestore, FETCH1, LOAD1, TERM1, SCALE1, ADD1, STORE1)
