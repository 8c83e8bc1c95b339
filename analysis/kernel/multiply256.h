// multiply.h with vectors of 32 bytes, in panels of 4 rows.

#define VECTOR 32
#define B0 Y12
#define B1 Y13
#define B2 Y14
#define FACTOR Y15
#define ZERO VXORPS

#define POINTERS \
	BEGIN(0, R8) \
	BEGIN(8, R9) \
	BEGIN(16, R10) \
	BEGIN(24, R11) \
	ADDQ $32, SI

#define ROWS(M) \
	M(R8, Y15, Y0, Y1, Y2) \
	M(R9, Y15, Y3, Y4, Y5) \
	M(R10, Y15, Y6, Y7, Y8) \
	M(R11, Y15, Y9, Y10, Y11)

#include "multiply.h"
