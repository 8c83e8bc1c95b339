// What the loops over weights have in common: LD32 widens four float32, LD64 loads four float64.

#define LD32(off, base, y) VCVTPS2PD (4*off)(base), y
#define LD64(off, base, y) VMOVUPD (8*off)(base), y

DATA absmask<>+0(SB)/8, $0x7fffffffffffffff
GLOBL absmask<>(SB), RODATA|NOPTR, $8

#define ABSMASK(y) VBROADCASTSD absmask<>(SB), y

// REDUCE sums (or takes the larger of) the four lanes of y into x, its lower
// half; t is the lower half of ty.
#define REDUCE(OP, OPS, y, x, ty, t) \
	VEXTRACTF128 $1, y, t    \
	OP           t, x, x     \
	VPERMILPD    $1, x, t    \
	OPS          t, x, x
