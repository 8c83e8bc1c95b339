//go:build amd64 && !purego

#include "textflag.h"

// func tapsDouble(dst *float64, width int, x *float64, rows *int, lines int, at *int, w *float64, taps int, s, b, lo, hi float64)
#define NAME ·tapsDouble
#define ARGS 96
#define S s+64
#define B b+72
#define LO lo+80
#define HI hi+88
#define LANES 4
#define LANES2 8
#define LANES4 16

#include "double.h"
#include "taps.h"
