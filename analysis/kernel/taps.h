// The loop of Taps. What is not defined here is that of one type of numbers: NAME of the function, SIZE
// of a number, the arguments S, B, LO and HI, the LANES of a vector and their multiples, and instructions.

#define BOUND(v, off) \
	MUL  v, Y8, v      \
	ADD  Y9, v, v      \
	MIN  v, Y11, v     \
	MAX  v, Y10, v     \
	MOVE v, off(DI)(CX*SIZE)

// A line is cut into blocks of four, two and one vectors. Its last block ends where the line does
// and may repeat some of the one before.
TEXT NAME(SB), NOSPLIT, $0-ARGS
	MOVQ dst+0(FP), DI
	MOVQ width+8(FP), R13
	MOVQ x+16(FP), SI
	MOVQ rows+24(FP), R11
	MOVQ lines+32(FP), R12
	MOVQ at+40(FP), R8
	MOVQ w+48(FP), R9
	MOVQ taps+56(FP), R10
	BROADCAST S(FP), Y8
	BROADCAST B(FP), Y9
	BROADCAST LO(FP), Y10
	BROADCAST HI(FP), Y11
line:
	MOVQ (R11), AX
	LEAQ (SI)(AX*SIZE), DX
	XORQ CX, CX
block:
	MOVQ R13, AX
	SUBQ CX, AX
	JLE  next
	CMPQ AX, $LANES4
	JGE  four
	CMPQ AX, $LANES2
	JGT  overTwo
	CMPQ AX, $LANES
	JGT  overOne
	LEAQ -LANES(R13), CX
	JMP  one
overTwo:
	CMPQ R13, $LANES4
	JLT  two
	LEAQ -LANES4(R13), CX
	JMP  four
overOne:
	CMPQ R13, $LANES2
	JLT  one
	LEAQ -LANES2(R13), CX
	JMP  two
four:
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	XORQ BX, BX
tapFour:
	MOVQ (R8)(BX*8), AX
	ADDQ CX, AX
	LEAQ (DX)(AX*SIZE), AX
	BROADCAST (R9)(BX*SIZE), Y12
	FMA (AX), Y12, Y0
	FMA 32(AX), Y12, Y1
	FMA 64(AX), Y12, Y2
	FMA 96(AX), Y12, Y3
	INCQ BX
	CMPQ BX, R10
	JNE  tapFour
	BOUND(Y0, 0)
	BOUND(Y1, 32)
	BOUND(Y2, 64)
	BOUND(Y3, 96)
	ADDQ $LANES4, CX
	JMP  block
two:
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	XORQ BX, BX
tapTwo:
	MOVQ (R8)(BX*8), AX
	ADDQ CX, AX
	LEAQ (DX)(AX*SIZE), AX
	BROADCAST (R9)(BX*SIZE), Y12
	FMA (AX), Y12, Y0
	FMA 32(AX), Y12, Y1
	INCQ BX
	CMPQ BX, R10
	JNE  tapTwo
	BOUND(Y0, 0)
	BOUND(Y1, 32)
	ADDQ $LANES2, CX
	JMP  block
one:
	VPXOR Y0, Y0, Y0
	XORQ BX, BX
tapOne:
	MOVQ (R8)(BX*8), AX
	ADDQ CX, AX
	LEAQ (DX)(AX*SIZE), AX
	BROADCAST (R9)(BX*SIZE), Y12
	FMA (AX), Y12, Y0
	INCQ BX
	CMPQ BX, R10
	JNE  tapOne
	BOUND(Y0, 0)
	ADDQ $LANES, CX
	JMP  block
next:
	LEAQ (DI)(R13*SIZE), DI
	ADDQ $8, R11
	DECQ R12
	JNZ  line
	VZEROUPPER
	RET
