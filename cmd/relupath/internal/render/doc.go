// Package render turns results into characters and drawings: a plain table for
// the terminal, Markdown, LaTeX (booktabs and siunitx), CSV, JSON and HTML, and
// figures as SVG, PNG and PDF.
//
// A command describes its result once, as a Document: tables of typed cells for
// readers, one tidy table of records for CSV, a value for JSON, and figures. The
// format decides how many digits a number gets and which characters are
// escaped; nothing else is computed here than the lengths of bars, the bins of
// histograms and the places of boxes.
//
// The same drawing of a figure serves files and pages: see canvas.go for its
// colours, which a page exchanges for its own.
package render
