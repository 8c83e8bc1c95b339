// Package render turns results into characters: a plain table for the
// terminal, Markdown, LaTeX (booktabs), CSV, JSON and HTML.
//
// A command describes its result once, as a Document: tables of typed cells for
// readers, one tidy table of records for CSV, and a value for JSON. The format
// decides how many digits a number gets and which characters are escaped;
// nothing else is computed here than the lengths of bars.
package render
