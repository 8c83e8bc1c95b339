// The instructions for numbers of eight bytes.

#define SIZE 8
#define MOVE VMOVUPD
#define BROADCAST VBROADCASTSD
#define FMA VFMADD231PD
#define MUL VMULPD
#define ADD VADDPD
#define MIN VMINPD
#define MAX VMAXPD
