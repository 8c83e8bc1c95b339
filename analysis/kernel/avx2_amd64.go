//go:build amd64 && !purego

package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

func init() {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return
	}
	vector32 = vectorOps{
		row: row32, rowPaths: rowPaths32, dotAbs: dotAbs32, dotSquares: dotSquares32, dotMax: dotMax32,
		columnsAbs: columnsAbs32, columnsSquares: columnsSquares32, columnsMax: columnsMax32,
		scale: scale32, scaleConst: scaleConst32, gram: gramOps{gramDots32, gramAdd32},
		gramNarrow:  gramOps{gramDotsNarrow, gramAddNarrow},
		productsAbs: productsAbs32, productsSquares: productsSquares32, productsMax: productsMax32,
		maxAbs: maxAbs32, above: above32, dotsAbs: dotsAbs32, dotsSquares: dotsSquares32,
	}
	vector64 = vectorOps{
		row: row64, rowPaths: rowPaths64, dotAbs: dotAbs64, dotSquares: dotSquares64, dotMax: dotMax64,
		columnsAbs: columnsAbs64, columnsSquares: columnsSquares64, columnsMax: columnsMax64,
		scale: scale64, scaleConst: scaleConst64, gram: gramOps{gramDots64, gramAdd64},
		productsAbs: productsAbs64, productsSquares: productsSquares64, productsMax: productsMax64,
		maxAbs: maxAbs64, above: above64, dotsAbs: dotsAbs64, dotsSquares: dotsSquares64,
	}
	widen32, rows32, extremes64, reciprocals64 = widen, panelRows, leastMost, reciprocals
	elements32 = elementOps[float32]{affineSingle, addSingle, timesSingle, gateSingle, totalSingle, dotSingle, descend32, tapsSingle, 8}
	elements64 = elementOps[float64]{affine: affine, add: add, times: times, descend: descend64, taps: tapsDouble, lanes: 4}
	pairs, moves64, every64, exp64, logistic64 = pairsMax, moves, every, expFour, logisticFour
	if cpu.X86.HasAVX512F {
		tilesFast = append(tilesFast, tileOps{8, 24, tiles512, tilesMax512, []narrow{{8, tile512x8}, {16, tile512x16}}})
	}
	tilesFast = append(tilesFast, tileOps{4, 12, tiles64, tilesMax64, nil})
	tile = tilesFast[0]
}

//go:noescape
func pairsMax(a *float64, stride, n int, x, dst *float64, dstStride int)

//go:noescape
func row32(w unsafe.Pointer, n int, out *Row)

//go:noescape
func row64(w unsafe.Pointer, n int, out *Row)

//go:noescape
func rowPaths32(w unsafe.Pointer, n int, g1, g2, gmax *float64, ahead int, out *RowPaths)

//go:noescape
func rowPaths64(w unsafe.Pointer, n int, g1, g2, gmax *float64, ahead int, out *RowPaths)

//go:noescape
func dotAbs32(w unsafe.Pointer, h *float64, n int) float64

//go:noescape
func dotAbs64(w unsafe.Pointer, h *float64, n int) float64

//go:noescape
func dotSquares32(w unsafe.Pointer, h *float64, n int) float64

//go:noescape
func dotSquares64(w unsafe.Pointer, h *float64, n int) float64

//go:noescape
func dotMax32(w unsafe.Pointer, h *float64, n int) float64

//go:noescape
func dotMax64(w unsafe.Pointer, h *float64, n int) float64

//go:noescape
func columnsAbs32(dst *float64, w unsafe.Pointer, stride, n int, h *float64)

//go:noescape
func columnsAbs64(dst *float64, w unsafe.Pointer, stride, n int, h *float64)

//go:noescape
func columnsSquares32(dst *float64, w unsafe.Pointer, stride, n int, h *float64)

//go:noescape
func columnsSquares64(dst *float64, w unsafe.Pointer, stride, n int, h *float64)

//go:noescape
func columnsMax32(dst *float64, w unsafe.Pointer, stride, n int, h *float64)

//go:noescape
func columnsMax64(dst *float64, w unsafe.Pointer, stride, n int, h *float64)

//go:noescape
func scale32(dst, src unsafe.Pointer, c *float64, r float64, n int)

//go:noescape
func scale64(dst, src unsafe.Pointer, c *float64, r float64, n int)

//go:noescape
func scaleConst32(dst, src unsafe.Pointer, r float64, n int)

//go:noescape
func scaleConst64(dst, src unsafe.Pointer, r float64, n int)

//go:noescape
func widen(dst *float64, src *float32, n int)

//go:noescape
func productsAbs32(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)

//go:noescape
func productsAbs64(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)

//go:noescape
func productsSquares32(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)

//go:noescape
func productsSquares64(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)

//go:noescape
func productsMax32(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)

//go:noescape
func productsMax64(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)

//go:noescape
func maxAbs32(w unsafe.Pointer, n int) uint64

//go:noescape
func maxAbs64(w unsafe.Pointer, n int) uint64

//go:noescape
func above32(w unsafe.Pointer, n int, r float64, c *float64, floor float64, floors *float64) int

//go:noescape
func above64(w unsafe.Pointer, n int, r float64, c *float64, floor float64, floors *float64) int

//go:noescape
func gramDots32(y, w unsafe.Pointer, wstride, n int, v unsafe.Pointer, vstride, ahead int)

//go:noescape
func gramAdd32(z *float64, zstride int, w unsafe.Pointer, wstride, n int, y unsafe.Pointer, rows, ahead int)

//go:noescape
func gramDots64(y, w unsafe.Pointer, wstride, n int, v unsafe.Pointer, vstride, ahead int)

//go:noescape
func gramAdd64(z *float64, zstride int, w unsafe.Pointer, wstride, n int, y unsafe.Pointer, rows, ahead int)

//go:noescape
func dotsAbs32(w unsafe.Pointer, stride, n int, x, sums *float64)

//go:noescape
func dotsAbs64(w unsafe.Pointer, stride, n int, x, sums *float64)

//go:noescape
func dotsSquares32(w unsafe.Pointer, stride, n int, x, sums *float64)

//go:noescape
func dotsSquares64(w unsafe.Pointer, stride, n int, x, sums *float64)

//go:noescape
func gramDotsNarrow(y, w unsafe.Pointer, wstride, n int, v unsafe.Pointer, vstride, ahead int)

//go:noescape
func gramAddNarrow(z *float64, zstride int, w unsafe.Pointer, wstride, n int, y unsafe.Pointer, rows, ahead int)

//go:noescape
func affine(dst, x *float64, n int, s, b, lo, hi float64)

//go:noescape
func add(dst *float64, a float64, x *float64, b float64, y *float64, n int)

//go:noescape
func tapsDouble(dst *float64, width int, x *float64, rows *int, lines int, at *int, w *float64, taps int, s, b, lo, hi float64)

//go:noescape
func tapsSingle(dst *float32, width int, x *float32, rows *int, lines int, at *int, w *float32, taps int, s, b, lo, hi float32)

//go:noescape
func tiles64(p tiles)

//go:noescape
func tiles512(p tiles)

//go:noescape
func tilesMax64(p tiles)

//go:noescape
func tilesMax512(p tiles)

//go:noescape
func tile512x8(p tiles)

//go:noescape
func tile512x16(p tiles)

//go:noescape
func moves(dst, src *float64, m *Move, n, ahead int)

//go:noescape
func every(dst, src *float64, m *Move, n int)

//go:noescape
func panelRows(dst *float64, step int, src *float32, stride, n int, power Power)

//go:noescape
func expFour(dst, x *float64, n int, table *float64, c *expConstants) int

//go:noescape
func logisticFour(x, e *float64, n int)

//go:noescape
func affineSingle(dst, x *float32, n int, s, b, lo, hi float32)

//go:noescape
func addSingle(dst *float32, a float32, x *float32, b float32, y *float32, n int)

//go:noescape
func gateSingle(dst, d, y *float32, n int)

//go:noescape
func totalSingle(x *float32, n int) float32

//go:noescape
func dotSingle(x, y *float32, n int) float32

//go:noescape
func reciprocals(x *float64, n int) float64

//go:noescape
func descend32(w, d *float32, q *float64, n int, keep, step float64)

//go:noescape
func descend64(w, d, q *float64, n int, keep, step float64)

//go:noescape
func leastMost(x *float64, n int, out *[12]uint64)

//go:noescape
func times(dst, x, y *float64, n int)

//go:noescape
func timesSingle(dst, x, y *float32, n int)
