// The products of Multiply in panels of 8 rows. What is not defined here is that of one type of numbers:
// NAME of the function, SIZE of a number, ALPHA, and instructions.
//
// A row of the result is in three, two or one registers. The rows of A begin at
// R8, R9, R10, R11, R12, R13, AX and BX, and CX is how far their next term lies behind that.

#define BEGIN(row, p) \
	MOVQ row(SI), p \
	LEAQ (DX)(p*SIZE), p

#define CLEAR \
	VPXORQ Z0, Z0, Z0; VPXORQ Z1, Z1, Z1; VPXORQ Z2, Z2, Z2 \
	VPXORQ Z3, Z3, Z3; VPXORQ Z4, Z4, Z4; VPXORQ Z5, Z5, Z5 \
	VPXORQ Z6, Z6, Z6; VPXORQ Z7, Z7, Z7; VPXORQ Z8, Z8, Z8 \
	VPXORQ Z9, Z9, Z9; VPXORQ Z10, Z10, Z10; VPXORQ Z11, Z11, Z11 \
	VPXORQ Z12, Z12, Z12; VPXORQ Z13, Z13, Z13; VPXORQ Z14, Z14, Z14 \
	VPXORQ Z15, Z15, Z15; VPXORQ Z16, Z16, Z16; VPXORQ Z17, Z17, Z17 \
	VPXORQ Z18, Z18, Z18; VPXORQ Z19, Z19, Z19; VPXORQ Z20, Z20, Z20 \
	VPXORQ Z21, Z21, Z21; VPXORQ Z22, Z22, Z22; VPXORQ Z23, Z23, Z23

#define TERM3(row, x, u, v, w) \
	BROADCAST (row)(CX*1), x \
	FMA Z24, x, u \
	FMA Z25, x, v \
	FMA Z26, x, w

#define TERMS3 \
	TERM3(R8, Z27, Z0, Z1, Z2) \
	TERM3(R9, Z28, Z3, Z4, Z5) \
	TERM3(R10, Z29, Z6, Z7, Z8) \
	TERM3(R11, Z30, Z9, Z10, Z11) \
	TERM3(R12, Z27, Z12, Z13, Z14) \
	TERM3(R13, Z28, Z15, Z16, Z17) \
	TERM3(AX, Z29, Z18, Z19, Z20) \
	TERM3(BX, Z30, Z21, Z22, Z23) \
	ADDQ multiply_step(DI), CX

#define SCALE3(u, v, w) \
	MUL Z27, u, u \
	MUL Z27, v, v \
	MUL Z27, w, w

#define ADD3(u, v, w) \
	ADD (R8), u, u \
	ADD 64(R8), v, v \
	ADD 128(R8), w, w \
	ADDQ R9, R8

#define STORE3(u, v, w) \
	MOVE u, (R8) \
	MOVE v, 64(R8) \
	MOVE w, 128(R8) \
	ADDQ R9, R8

#define TERM2(row, x, u, v) \
	BROADCAST (row)(CX*1), x \
	FMA Z24, x, u \
	FMA Z25, x, v

#define TERMS2 \
	TERM2(R8, Z27, Z0, Z1) \
	TERM2(R9, Z28, Z3, Z4) \
	TERM2(R10, Z29, Z6, Z7) \
	TERM2(R11, Z30, Z9, Z10) \
	TERM2(R12, Z27, Z12, Z13) \
	TERM2(R13, Z28, Z15, Z16) \
	TERM2(AX, Z29, Z18, Z19) \
	TERM2(BX, Z30, Z21, Z22) \
	ADDQ multiply_step(DI), CX

#define SCALE2(u, v) \
	MUL Z27, u, u \
	MUL Z27, v, v

#define ADD2(u, v) \
	ADD (R8), u, u \
	ADD 64(R8), v, v \
	ADDQ R9, R8

#define STORE2(u, v) \
	MOVE u, (R8) \
	MOVE v, 64(R8) \
	ADDQ R9, R8

#define TERM1(row, x, u) \
	BROADCAST (row)(CX*1), x \
	FMA Z24, x, u

#define TERMS1 \
	TERM1(R8, Z27, Z0) \
	TERM1(R9, Z28, Z3) \
	TERM1(R10, Z29, Z6) \
	TERM1(R11, Z30, Z9) \
	TERM1(R12, Z27, Z12) \
	TERM1(R13, Z28, Z15) \
	TERM1(AX, Z29, Z18) \
	TERM1(BX, Z30, Z21) \
	ADDQ multiply_step(DI), CX

#define SCALE1(u) \
	MUL Z27, u, u

#define ADD1(u) \
	ADD (R8), u, u \
	ADDQ R9, R8

#define STORE1(u) \
	MOVE u, (R8) \
	ADDQ R9, R8

#define FETCH3 \
	PREFETCHT0 (R15) \
	PREFETCHT0 64(R15) \
	PREFETCHT0 128(R15) \
	PREFETCHT0 188(R15) \
	ADDQ R14, R15

#define FETCH2 \
	PREFETCHT0 (R15) \
	PREFETCHT0 64(R15) \
	PREFETCHT0 124(R15) \
	ADDQ R14, R15

#define FETCH1 \
	PREFETCHT0 (R15) \
	PREFETCHT0 60(R15) \
	ADDQ R14, R15

#define PANEL \
	MOVQ multiply_a(DI), DX \
	MOVQ multiply_rows(DI), SI \
	BEGIN(0, R8) \
	BEGIN(8, R9) \
	BEGIN(16, R10) \
	BEGIN(24, R11) \
	BEGIN(32, R12) \
	BEGIN(40, R13) \
	BEGIN(48, AX) \
	BEGIN(56, BX) \
	ADDQ $64, SI \
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
	FETCH3
	FETCH3
	FETCH3
	FETCH3
	PANEL
	JZ   threeeach
threelisted:
	MOVQ (SI), R15
	LEAQ (DX)(R15*SIZE), R15
	MOVE (R15), Z24
	MOVE 64(R15), Z25
	MOVE 128(R15), Z26
	TERMS3
	ADDQ $8, SI
	DECQ R14
	JNZ  threelisted
	JMP  threesummed
threeeach:
	MOVE (DX), Z24
	MOVE 64(DX), Z25
	MOVE 128(DX), Z26
	TERMS3
	ADDQ multiply_stride(DI), DX
	DECQ R14
	JNZ  threeeach
threesummed:
	BROADCAST ALPHA(DI), Z27
	MOVQ multiply_ldc(DI), R9
	SCALE3(Z0, Z1, Z2)
	SCALE3(Z3, Z4, Z5)
	SCALE3(Z6, Z7, Z8)
	SCALE3(Z9, Z10, Z11)
	SCALE3(Z12, Z13, Z14)
	SCALE3(Z15, Z16, Z17)
	SCALE3(Z18, Z19, Z20)
	SCALE3(Z21, Z22, Z23)
	CMPQ multiply_add(DI), $0
	JEQ  threestore
	MOVQ multiply_c(DI), R8
	ADD3(Z0, Z1, Z2)
	ADD3(Z3, Z4, Z5)
	ADD3(Z6, Z7, Z8)
	ADD3(Z9, Z10, Z11)
	ADD3(Z12, Z13, Z14)
	ADD3(Z15, Z16, Z17)
	ADD3(Z18, Z19, Z20)
	ADD3(Z21, Z22, Z23)
threestore:
	MOVQ multiply_c(DI), R8
	STORE3(Z0, Z1, Z2)
	STORE3(Z3, Z4, Z5)
	STORE3(Z6, Z7, Z8)
	STORE3(Z9, Z10, Z11)
	STORE3(Z12, Z13, Z14)
	STORE3(Z15, Z16, Z17)
	STORE3(Z18, Z19, Z20)
	STORE3(Z21, Z22, Z23)
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
	FETCH2
	FETCH2
	FETCH2
	FETCH2
	PANEL
	JZ   twoeach
twolisted:
	MOVQ (SI), R15
	LEAQ (DX)(R15*SIZE), R15
	MOVE (R15), Z24
	MOVE 64(R15), Z25
	TERMS2
	ADDQ $8, SI
	DECQ R14
	JNZ  twolisted
	JMP  twosummed
twoeach:
	MOVE (DX), Z24
	MOVE 64(DX), Z25
	TERMS2
	ADDQ multiply_stride(DI), DX
	DECQ R14
	JNZ  twoeach
twosummed:
	BROADCAST ALPHA(DI), Z27
	MOVQ multiply_ldc(DI), R9
	SCALE2(Z0, Z1)
	SCALE2(Z3, Z4)
	SCALE2(Z6, Z7)
	SCALE2(Z9, Z10)
	SCALE2(Z12, Z13)
	SCALE2(Z15, Z16)
	SCALE2(Z18, Z19)
	SCALE2(Z21, Z22)
	CMPQ multiply_add(DI), $0
	JEQ  twostore
	MOVQ multiply_c(DI), R8
	ADD2(Z0, Z1)
	ADD2(Z3, Z4)
	ADD2(Z6, Z7)
	ADD2(Z9, Z10)
	ADD2(Z12, Z13)
	ADD2(Z15, Z16)
	ADD2(Z18, Z19)
	ADD2(Z21, Z22)
twostore:
	MOVQ multiply_c(DI), R8
	STORE2(Z0, Z1)
	STORE2(Z3, Z4)
	STORE2(Z6, Z7)
	STORE2(Z9, Z10)
	STORE2(Z12, Z13)
	STORE2(Z15, Z16)
	STORE2(Z18, Z19)
	STORE2(Z21, Z22)
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
	FETCH1
	FETCH1
	FETCH1
	FETCH1
	PANEL
	JZ   oneeach
onelisted:
	MOVQ (SI), R15
	LEAQ (DX)(R15*SIZE), R15
	MOVE (R15), Z24
	TERMS1
	ADDQ $8, SI
	DECQ R14
	JNZ  onelisted
	JMP  onesummed
oneeach:
	MOVE (DX), Z24
	TERMS1
	ADDQ multiply_stride(DI), DX
	DECQ R14
	JNZ  oneeach
onesummed:
	BROADCAST ALPHA(DI), Z27
	MOVQ multiply_ldc(DI), R9
	SCALE1(Z0)
	SCALE1(Z3)
	SCALE1(Z6)
	SCALE1(Z9)
	SCALE1(Z12)
	SCALE1(Z15)
	SCALE1(Z18)
	SCALE1(Z21)
	CMPQ multiply_add(DI), $0
	JEQ  onestore
	MOVQ multiply_c(DI), R8
	ADD1(Z0)
	ADD1(Z3)
	ADD1(Z6)
	ADD1(Z9)
	ADD1(Z12)
	ADD1(Z15)
	ADD1(Z18)
	ADD1(Z21)
onestore:
	MOVQ multiply_c(DI), R8
	STORE1(Z0)
	STORE1(Z3)
	STORE1(Z6)
	STORE1(Z9)
	STORE1(Z12)
	STORE1(Z15)
	STORE1(Z18)
	STORE1(Z21)
	MOVQ R8, multiply_c(DI)
	DECQ multiply_panels(DI)
	JNZ  one
	VZEROUPPER
	RET
