// The instructions for numbers of four bytes.

#define SIZE 4
#define MOVE VMOVUPS
#define BROADCAST VBROADCASTSS
#define FMA VFMADD231PS
#define MUL VMULPS
#define ADD VADDPS
#define MIN VMINPS
#define MAX VMAXPS
