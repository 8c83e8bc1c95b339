// The products of Multiply in panels of 4 rows. What is not defined here is that of one type of numbers:
// NAME of the function, SIZE of a number, ALPHA, and instructions.
//
// A row of the result is in three, two or one registers. The rows of A begin at
// R8, R9, R10 and R11, and CX is how far their next term lies behind that.

#define BEGIN(row, p) \
	MOVQ row(SI), p \
	LEAQ (DX)(p*SIZE), p

#define CLEAR \
	VXORPS Y0, Y0, Y0; VXORPS Y1, Y1, Y1; VXORPS Y2, Y2, Y2 \
	VXORPS Y3, Y3, Y3; VXORPS Y4, Y4, Y4; VXORPS Y5, Y5, Y5 \
	VXORPS Y6, Y6, Y6; VXORPS Y7, Y7, Y7; VXORPS Y8, Y8, Y8 \
	VXORPS Y9, Y9, Y9; VXORPS Y10, Y10, Y10; VXORPS Y11, Y11, Y11

#define TERM3(row, x, u, v, w) \
	BROADCAST (row)(CX*1), x \
	FMA Y12, x, u \
	FMA Y13, x, v \
	FMA Y14, x, w

#define TERMS3 \
	TERM3(R8, Y15, Y0, Y1, Y2) \
	TERM3(R9, Y15, Y3, Y4, Y5) \
	TERM3(R10, Y15, Y6, Y7, Y8) \
	TERM3(R11, Y15, Y9, Y10, Y11) \
	ADDQ multiply_step(DI), CX

#define SCALE3(u, v, w) \
	MUL Y15, u, u \
	MUL Y15, v, v \
	MUL Y15, w, w

#define ADD3(u, v, w) \
	ADD (R8), u, u \
	ADD 32(R8), v, v \
	ADD 64(R8), w, w \
	ADDQ R9, R8

#define STORE3(u, v, w) \
	MOVE u, (R8) \
	MOVE v, 32(R8) \
	MOVE w, 64(R8) \
	ADDQ R9, R8

#define TERM2(row, x, u, v) \
	BROADCAST (row)(CX*1), x \
	FMA Y12, x, u \
	FMA Y13, x, v

#define TERMS2 \
	TERM2(R8, Y15, Y0, Y1) \
	TERM2(R9, Y15, Y3, Y4) \
	TERM2(R10, Y15, Y6, Y7) \
	TERM2(R11, Y15, Y9, Y10) \
	ADDQ multiply_step(DI), CX

#define SCALE2(u, v) \
	MUL Y15, u, u \
	MUL Y15, v, v

#define ADD2(u, v) \
	ADD (R8), u, u \
	ADD 32(R8), v, v \
	ADDQ R9, R8

#define STORE2(u, v) \
	MOVE u, (R8) \
	MOVE v, 32(R8) \
	ADDQ R9, R8

#define TERM1(row, x, u) \
	BROADCAST (row)(CX*1), x \
	FMA Y12, x, u

#define TERMS1 \
	TERM1(R8, Y15, Y0) \
	TERM1(R9, Y15, Y3) \
	TERM1(R10, Y15, Y6) \
	TERM1(R11, Y15, Y9) \
	ADDQ multiply_step(DI), CX

#define SCALE1(u) \
	MUL Y15, u, u

#define ADD1(u) \
	ADD (R8), u, u \
	ADDQ R9, R8

#define STORE1(u) \
	MOVE u, (R8) \
	ADDQ R9, R8

#define FETCH3 \
	PREFETCHT0 (R15) \
	PREFETCHT0 32(R15) \
	PREFETCHT0 64(R15) \
	PREFETCHT0 92(R15) \
	ADDQ R14, R15

#define FETCH2 \
	PREFETCHT0 (R15) \
	PREFETCHT0 32(R15) \
	PREFETCHT0 60(R15) \
	ADDQ R14, R15

#define FETCH1 \
	PREFETCHT0 (R15) \
	PREFETCHT0 28(R15) \
	ADDQ R14, R15

#define PANEL \
	MOVQ multiply_a(DI), DX \
	MOVQ multiply_rows(DI), SI \
	BEGIN(0, R8) \
	BEGIN(8, R9) \
	BEGIN(16, R10) \
	BEGIN(24, R11) \
	ADDQ $32, SI \
	MOVQ SI, multiply_rows(DI) \
	CLEAR \
	XORQ CX, CX \
	MOVQ multiply_k(DI), R14 \
	MOVQ multiply_b(DI), DX \
	MOVQ multiply_at(DI), SI \
	TESTQ SI, SI

TEXT NAME(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), DI
	CMPQ multiply_vectors(DI), $2
	JLT  one
	JEQ  two
three:
	MOVQ multiply_c(DI), R15
	MOVQ multiply_ldc(DI), R14
	FETCH3
	FETCH3
	FETCH3
	FETCH3
	PANEL
	JZ   threeeach
threelisted:
	MOVQ (SI), R15
	LEAQ (DX)(R15*SIZE), R15
	MOVE (R15), Y12
	MOVE 32(R15), Y13
	MOVE 64(R15), Y14
	TERMS3
	ADDQ $8, SI
	DECQ R14
	JNZ  threelisted
	JMP  threesummed
threeeach:
	MOVE (DX), Y12
	MOVE 32(DX), Y13
	MOVE 64(DX), Y14
	TERMS3
	ADDQ multiply_stride(DI), DX
	DECQ R14
	JNZ  threeeach
threesummed:
	BROADCAST ALPHA(DI), Y15
	MOVQ multiply_ldc(DI), R9
	SCALE3(Y0, Y1, Y2)
	SCALE3(Y3, Y4, Y5)
	SCALE3(Y6, Y7, Y8)
	SCALE3(Y9, Y10, Y11)
	CMPQ multiply_add(DI), $0
	JEQ  threestore
	MOVQ multiply_c(DI), R8
	ADD3(Y0, Y1, Y2)
	ADD3(Y3, Y4, Y5)
	ADD3(Y6, Y7, Y8)
	ADD3(Y9, Y10, Y11)
threestore:
	MOVQ multiply_c(DI), R8
	STORE3(Y0, Y1, Y2)
	STORE3(Y3, Y4, Y5)
	STORE3(Y6, Y7, Y8)
	STORE3(Y9, Y10, Y11)
	MOVQ R8, multiply_c(DI)
	DECQ multiply_panels(DI)
	JNZ  three
	VZEROUPPER
	RET

two:
	MOVQ multiply_c(DI), R15
	MOVQ multiply_ldc(DI), R14
	FETCH2
	FETCH2
	FETCH2
	FETCH2
	PANEL
	JZ   twoeach
twolisted:
	MOVQ (SI), R15
	LEAQ (DX)(R15*SIZE), R15
	MOVE (R15), Y12
	MOVE 32(R15), Y13
	TERMS2
	ADDQ $8, SI
	DECQ R14
	JNZ  twolisted
	JMP  twosummed
twoeach:
	MOVE (DX), Y12
	MOVE 32(DX), Y13
	TERMS2
	ADDQ multiply_stride(DI), DX
	DECQ R14
	JNZ  twoeach
twosummed:
	BROADCAST ALPHA(DI), Y15
	MOVQ multiply_ldc(DI), R9
	SCALE2(Y0, Y1)
	SCALE2(Y3, Y4)
	SCALE2(Y6, Y7)
	SCALE2(Y9, Y10)
	CMPQ multiply_add(DI), $0
	JEQ  twostore
	MOVQ multiply_c(DI), R8
	ADD2(Y0, Y1)
	ADD2(Y3, Y4)
	ADD2(Y6, Y7)
	ADD2(Y9, Y10)
twostore:
	MOVQ multiply_c(DI), R8
	STORE2(Y0, Y1)
	STORE2(Y3, Y4)
	STORE2(Y6, Y7)
	STORE2(Y9, Y10)
	MOVQ R8, multiply_c(DI)
	DECQ multiply_panels(DI)
	JNZ  two
	VZEROUPPER
	RET

one:
	MOVQ multiply_c(DI), R15
	MOVQ multiply_ldc(DI), R14
	FETCH1
	FETCH1
	FETCH1
	FETCH1
	PANEL
	JZ   oneeach
onelisted:
	MOVQ (SI), R15
	LEAQ (DX)(R15*SIZE), R15
	MOVE (R15), Y12
	TERMS1
	ADDQ $8, SI
	DECQ R14
	JNZ  onelisted
	JMP  onesummed
oneeach:
	MOVE (DX), Y12
	TERMS1
	ADDQ multiply_stride(DI), DX
	DECQ R14
	JNZ  oneeach
onesummed:
	BROADCAST ALPHA(DI), Y15
	MOVQ multiply_ldc(DI), R9
	SCALE1(Y0)
	SCALE1(Y3)
	SCALE1(Y6)
	SCALE1(Y9)
	CMPQ multiply_add(DI), $0
	JEQ  onestore
	MOVQ multiply_c(DI), R8
	ADD1(Y0)
	ADD1(Y3)
	ADD1(Y6)
	ADD1(Y9)
onestore:
	MOVQ multiply_c(DI), R8
	STORE1(Y0)
	STORE1(Y3)
	STORE1(Y6)
	STORE1(Y9)
	MOVQ R8, multiply_c(DI)
	DECQ multiply_panels(DI)
	JNZ  one
	VZEROUPPER
	RET
