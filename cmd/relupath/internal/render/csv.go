package render

import (
	"encoding/csv"
	"io"
	"iter"
	"strconv"
	"strings"
)

func writeCSV(w io.Writer, d *Document) error {
	if d.Records != nil {
		return csvTable(w, d.Records, d.Rows)
	}
	for i := range d.Tables {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if err := csvTable(w, &d.Tables[i], nil); err != nil {
			return err
		}
	}
	return nil
}

// csvTable writes a table, and more rows below its own.
func csvTable(w io.Writer, t *Table, more iter.Seq[[]Cell]) error {
	c := csv.NewWriter(w)
	if !t.headless() {
		if err := c.Write(t.Columns); err != nil {
			return err
		}
	}
	rec := make([]string, len(t.Columns))
	write := func(row []Cell) error {
		for i := range rec {
			rec[i] = ""
			if i < len(row) {
				rec[i] = row[i].record()
			}
		}
		return c.Write(rec)
	}
	for _, row := range t.Rows {
		if err := write(row); err != nil {
			return err
		}
	}
	if more != nil {
		for row := range more {
			if err := write(row); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

// record returns what CSV shows of a cell. Words that a spreadsheet would run
// as a formula get an apostrophe before them; numbers, and words that are one,
// stay.
func (c Cell) record() string {
	s := c.full()
	if c.numeric() || s == "" || !strings.ContainsRune("=+-@", rune(s[0])) {
		return s
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return s
	}
	return "'" + s
}
