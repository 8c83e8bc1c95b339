// The loops of Affine, Sum and Times, ROUND elements at a time, four vectors; n is a multiple of it and not zero. What is not defined
// here is that of one type of numbers: the functions' names AFFINE, SUM and TIMES with their arguments, and
// instructions.

// An element that is a NaN stays one: the second source is the result of a comparison
// that fails, which in this order of operands is the first.
#define BOUNDED(off, v) \
	MUL  off(SI), Y4, v \
	ADD  Y5, v, v       \
	MIN  v, Y7, v       \
	MAX  v, Y6, v       \
	MOVE v, off(DI)

TEXT AFFINE(SB), NOSPLIT, $0-AFFINEARGS
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	BROADCAST S(FP), Y4
	BROADCAST B(FP), Y5
	BROADCAST LO(FP), Y6
	BROADCAST HI(FP), Y7
loop:
	BOUNDED(0, Y0)
	BOUNDED(32, Y1)
	BOUNDED(64, Y2)
	BOUNDED(96, Y3)
	ADDQ $128, DI
	ADDQ $128, SI
	SUBQ $ROUND, CX
	JNZ  loop
	VZEROUPPER
	RET

#define ADDED(off, v, t) \
	MUL  off(SI), Y8, v \
	MUL  off(DX), Y9, t \
	ADD  t, v, v        \
	MOVE v, off(DI)

TEXT SUM(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	BROADCAST a+8(FP), Y8
	MOVQ x+16(FP), SI
	BROADCAST b+24(FP), Y9
	MOVQ y+32(FP), DX
	MOVQ n+40(FP), CX
loop:
	ADDED(0, Y0, Y4)
	ADDED(32, Y1, Y5)
	ADDED(64, Y2, Y6)
	ADDED(96, Y3, Y7)
	ADDQ $128, DI
	ADDQ $128, SI
	ADDQ $128, DX
	SUBQ $ROUND, CX
	JNZ  loop
	VZEROUPPER
	RET

#define MULTIPLIED(off, v) \
	MOVE off(SI), v    \
	MUL  off(DX), v, v \
	MOVE v, off(DI)

TEXT TIMES(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	MOVQ n+24(FP), CX
loop:
	MULTIPLIED(0, Y0)
	MULTIPLIED(32, Y1)
	MULTIPLIED(64, Y2)
	MULTIPLIED(96, Y3)
	ADDQ $128, DI
	ADDQ $128, SI
	ADDQ $128, DX
	SUBQ $ROUND, CX
	JNZ  loop
	VZEROUPPER
	RET
