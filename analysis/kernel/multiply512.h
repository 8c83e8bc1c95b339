// multiply.h with vectors of 64 bytes, in panels of 8 rows.

#define VECTOR 64
#define B0 Z24
#define B1 Z25
#define B2 Z26
#define FACTOR Z27
#define ZERO VPXORQ

#define POINTERS \
	BEGIN(0, R8) \
	BEGIN(8, R9) \
	BEGIN(16, R10) \
	BEGIN(24, R11) \
	BEGIN(32, R12) \
	BEGIN(40, R13) \
	BEGIN(48, AX) \
	BEGIN(56, BX) \
	ADDQ $64, SI

#define ROWS(M) \
	M(R8, Z27, Z0, Z1, Z2) \
	M(R9, Z28, Z3, Z4, Z5) \
	M(R10, Z29, Z6, Z7, Z8) \
	M(R11, Z30, Z9, Z10, Z11) \
	M(R12, Z27, Z12, Z13, Z14) \
	M(R13, Z28, Z15, Z16, Z17) \
	M(AX, Z29, Z18, Z19, Z20) \
	M(BX, Z30, Z21, Z22, Z23)

#include "multiply.h"
