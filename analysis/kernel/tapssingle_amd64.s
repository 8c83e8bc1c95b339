//go:build amd64 && !purego

#include "textflag.h"

// func tapsSingle(dst *float32, width int, x *float32, rows *int, lines int, at *int, w *float32, taps int, s, b, lo, hi float32)
#define NAME ·tapsSingle
#define ARGS 80
#define S s+64
#define B b+68
#define LO lo+72
#define HI hi+76
#define LANES 8
#define LANES2 16
#define LANES4 32

#include "single.h"
#include "taps.h"
