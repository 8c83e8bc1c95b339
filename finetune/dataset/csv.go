package dataset

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/relupath/relupath/internal/words"
)

// csvReader collects the lines of a file.
type csvReader struct {
	s      *source
	lines  *lineReader
	r      *csv.Reader
	header []string // nil without one, or where its width is not that of the data
	label  int      // column, -1 before the first line
	drop   []int    // columns that are left out, in order
	by     int      // the column of Spec.SplitBy, one of drop; -1 for none
	parts  []Split  // what it says
	// several are the columns of more targets than one, values what they hold, example
	// by example.
	several []int
	values  []float64
	width   int  // fields a line
	headed  bool // the first line is a header
	n       int
	column  column
	labels  *texts
	// limit is how many examples are kept, taken what keeping them takes, in bytes.
	limit int
	taken int64
}

// loadCSV reads a file.
func loadCSV(ctx context.Context, spec Spec, _ Split) (*table, error) {
	return fromFile(ctx, spec.Paths[0], 0, false, func(s *source) (*table, error) { return readCSV(s, spec) })
}

// readCSV reads one example a line: numbers separated by commas, one of them,
// or a text, being the label.
func readCSV(s *source, spec Spec) (*table, error) {
	switch bom, _ := s.r.Peek(5); {
	case bytes.HasPrefix(bom, []byte("PAR1")) && len(bom) > 4 && bom[4] == 0x15: // a page's header; a column may be named so
		return nil, wrong(s.name, "", "is a Parquet file", asTable)
	case bytes.HasPrefix(bom, []byte("PK\x03\x04")):
		return nil, wrong(s.name, "", "is a zip archive, as spreadsheets are", asTable)
	case bytes.HasPrefix(bom, []byte("\xef\xbb\xbf")):
		_, _ = s.r.Discard(3)
	case bytes.HasPrefix(bom, []byte("\xff\xfe")), bytes.HasPrefix(bom, []byte("\xfe\xff")):
		return nil, wrong(s.name, "", "is text in UTF-16", "save it as UTF-8, as iconv -f UTF-16 -t UTF-8 FILE does")
	}
	lines := &lineReader{s: s, separator: []byte{','}}
	c := &csvReader{s: s, lines: lines, r: csv.NewReader(lines), label: -1, by: -1, labels: newTexts(s.name, "line"), limit: spec.Limit}
	if c.limit == 0 {
		c.limit = math.MaxInt
	}
	if spec.Separator != 0 {
		c.r.Comma, lines.separator = spec.Separator, []byte(string(spec.Separator))
	}
	c.r.FieldsPerRecord = -1
	c.r.ReuseRecord = true
	c.r.TrimLeadingSpace = !unicode.IsSpace(c.r.Comma)
	if err := c.readAll(spec); err != nil {
		return nil, err
	}
	if c.n == 0 {
		return nil, wrong(s.name, "", "the file holds no examples", "give a file with one example a line")
	}
	t := &table{file: s.name, x: c.column.features, n: min(c.n, c.limit), parts: c.parts, shape: []int{c.width - max(1, len(c.several)) - len(c.drop)}}
	if c.several != nil {
		t.width, t.targets = len(c.several), c.values
		return t, nil
	}
	return t, c.labels.number(t, spec.Task, ",header if it is a header, ")
}

// readAll reads every line.
func (c *csvReader) readAll(spec Spec) error {
	if c.headed = spec.Header; c.headed {
		fields, err := c.r.Read()
		if err != nil && !errors.Is(err, io.EOF) {
			return c.damaged(err)
		}
		for _, f := range fields {
			c.header = append(c.header, strings.TrimSpace(f))
		}
	}
	// Where the classes are not told, the labels of all lines tell them.
	told := spec.Task == Regression || spec.Classes != nil || len(spec.Labels) > 1
	for c.n < c.limit || !told {
		c.lines.begin()
		fields, err := c.r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.damaged(err)
		}
		if c.label < 0 {
			if err := c.begin(fields, spec); err != nil {
				return err
			}
		}
		if err := c.line(fields); err != nil {
			return err
		}
	}
	return nil
}

// begin settles the columns with the first line of data.
func (c *csvReader) begin(fields []string, spec Spec) error {
	c.width = len(fields)
	if c.width < 2 {
		return c.wrong(c.where(), fmt.Sprintf("the line holds %d field, want features and a label", c.width),
			cmp.Or(c.otherSeparator(), "separate the fields with commas, or name what separates them with sep="))
	}
	if len(c.header) != c.width {
		c.header = nil // such as the line "examples,features,class,class"
	}
	for _, name := range spec.Drop {
		k, err := c.columnOf("drop", name)
		if err != nil {
			return err
		}
		c.drop = append(c.drop, k)
	}
	if spec.SplitBy != "" {
		var err error
		if c.by, err = c.columnOf("split", spec.SplitBy); err != nil {
			return err
		}
		c.drop = append(c.drop, c.by)
	}
	slices.Sort(c.drop)
	c.drop = slices.Compact(c.drop)
	// The last column that is there, unless others are named.
	for c.label = c.width - 1; slices.Contains(c.drop, c.label); c.label-- {
	}
	var labels []int
	for _, name := range spec.Labels {
		k, err := c.columnOf("label", name)
		switch {
		case err != nil:
			return err
		case k == c.by:
			return c.wrong("", "the label's column is that of split=", "name another with label=")
		case slices.Contains(c.drop, k):
			return c.wrong("", "the label's column is dropped", "leave it out of drop=, or name another with label=")
		case slices.Contains(labels, k):
			return c.wrong("", fmt.Sprintf("label= names column %d twice", k), "name it once")
		}
		c.label, labels = k, append(labels, k)
	}
	if len(labels) > 1 {
		c.several = labels
	}
	if c.width-len(c.drop) <= max(1, len(labels)) {
		return c.wrong("", "no column is left for the features", "drop fewer columns, or name fewer labels")
	}
	return nil
}

// columnOf returns the column that an option names, by its name in the header or its index,
// a negative one from the end.
func (c *csvReader) columnOf(option, name string) (int, error) {
	i := slices.Index(c.header, name)
	if i >= 0 && slices.Contains(c.header[i+1:], name) {
		return 0, c.wrong("the header", fmt.Sprintf("several columns have the name %q", name), "give the column of "+option+"= by its index from 0")
	}
	if i >= 0 {
		return i, nil
	}
	k, err := strconv.Atoi(name)
	if err != nil {
		remedy := "add ,header or give the column's index from 0"
		if c.header != nil {
			remedy = "the names are " + list(c.header)
		}
		return 0, c.wrong("", fmt.Sprintf("no column has the name %q", name), remedy)
	}
	if k < 0 {
		k += c.width
	}
	if k < 0 || k >= c.width {
		return 0, c.wrong("", fmt.Sprintf("%s=%s is not one of the columns 0..%d", option, name, c.width-1), "count the columns from 0")
	}
	return k, nil
}

// otherSeparator says what stands between the fields where another sign than the separator is more
// frequent in the first line; empty where none is.
func (c *csvReader) otherSeparator() string {
	most := bytes.Count(c.lines.first, []byte(string(c.r.Comma)))
	guess := rune(0)
	for _, sign := range []rune{';', '\t', '|', ',', ' '} {
		if n := bytes.Count(c.lines.first, []byte(string(sign))); sign != c.r.Comma && n > most {
			most, guess = n, sign
		}
	}
	if guess == 0 {
		return ""
	}
	return "add ,sep=" + formatSeparator(guess) + " if that stands between the fields (the shell wants quotes)"
}

// line takes one line of data.
func (c *csvReader) line(fields []string) error {
	if len(fields) != c.width {
		return c.wrong(c.where(), fmt.Sprintf("%s, want %d as in the lines before", words.Count(len(fields), "field"), c.width),
			cmp.Or(c.otherSeparator(), "complete the line; a field that holds a comma is written in quotes"))
	}
	c.values = append(c.values, make([]float64, len(c.several))...)
	for j, field := range fields {
		if err := c.field(j, strings.TrimSpace(field)); err != nil {
			return err
		}
	}
	if c.n++; c.n <= c.limit {
		c.taken += 8*int64(max(1, len(c.several))) + int64(c.width)*c.column.width()
	}
	if share, taken := memoryShare(), c.taken+c.labels.taken; taken > share {
		return tooMuch(c.s.name, fmt.Sprintf("the first %d examples take %s", min(c.n, c.limit), words.Count(taken, "byte")), share)
	} else if sought := min(share*shareOfMemory, soughtBase+soughtPerByte*c.s.size); c.s.packed && c.n > c.limit && c.lines.passed > sought {
		return wrong(c.s.name, "", fmt.Sprintf("the labels of all lines tell the classes, and the file unpacks to more than %d MiB", sought>>20),
			"name the classes with classes=a;b;c, or unpack the file")
	}
	return nil
}

// field takes field j of a line.
func (c *csvReader) field(j int, field string) error {
	switch {
	case slices.Contains(c.several, j):
		v, ok := parseNumber(field)
		if !ok {
			return c.wrong(c.at(j), fmt.Sprintf("target %q is not a number", field), pointsOr("correct it, or leave the example out", field))
		}
		c.values[c.n*len(c.several)+slices.Index(c.several, j)] = v
	case j == c.label:
		if field == "" {
			return c.wrong(c.at(j), "the label is empty", "complete the line or leave it out")
		}
		line, _ := c.r.FieldPos(j)
		c.labels.add(field, line, c.n < c.limit)
	case c.n >= c.limit: // only labels are of use: they say which classes there are
	case j == c.by:
		part := Split(strings.ToLower(field))
		if part != Train && part != Test {
			return c.wrong(c.at(j), fmt.Sprintf("split: %q is neither train nor test", field), "name a column of these two words")
		}
		c.parts = append(c.parts, part)
	case !slices.Contains(c.drop, j):
		v, err := parseFloat(field)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return c.notNumber(j, field)
		}
		if !usable(v) {
			return unusable(c.s.name, c.at(j), v)
		}
		c.column.add(v)
	}
	return nil
}

// Where classes are sought beyond the examples asked for, a packed file may unpack to
// soughtBase bytes and soughtPerByte more for each of its bytes, the memory at most: tables
// of numbers shrink to a third, those of pixels that are mostly zero to a tenth.
const (
	soughtBase    = 32 << 20
	soughtPerByte = 64
)

// maxLine bounds a line, which is in memory as a whole.
const maxLine = 64 << 20

// maxFields bounds the fields of a line: each takes some 40 bytes beside its text.
const maxFields = 2 << 20

// lineReader passes a source on as long as it has lines.
type lineReader struct {
	s         *source
	separator []byte
	// Since the last example that was read: its bytes, those since the last end of a line
	// (a field in quotes may hold such ends), and the separators.
	record, line, fields int
	// passed counts all bytes.
	passed int64
	// first is the beginning of the first line.
	first []byte
	whole bool
}

// longestLook is how much of the first line is kept.
const longestLook = 4 << 10

// begin is told that an example was read.
func (l *lineReader) begin() { l.record, l.fields = 0, 0 }

func (l *lineReader) Read(b []byte) (int, error) {
	n, err := l.s.r.Read(b)
	l.passed += int64(n)
	if !l.whole {
		part, _, ended := bytes.Cut(b[:n], []byte("\n"))
		l.first = append(l.first, part[:min(len(part), longestLook-len(l.first))]...)
		l.whole = ended || len(l.first) == longestLook
	}
	if i := bytes.LastIndexByte(b[:n], '\n'); i >= 0 {
		l.line = n - 1 - i
	} else {
		l.line += n
	}
	l.record += n
	l.fields += bytes.Count(b[:n], l.separator)
	problem, remedy := "", "this is no csv file, or it is damaged: fetch it again"
	switch {
	case l.line > maxLine:
		problem = fmt.Sprintf("a line is longer than %d MiB", maxLine>>20)
	case l.fields > maxFields:
		problem = fmt.Sprintf("a line has more than %d fields", maxFields)
	case l.record > maxLine:
		problem, remedy = fmt.Sprintf("%d MiB of lines hold no example", maxLine>>20), "close the quotes, and leave empty lines out"
	default:
		return n, err
	}
	return n, wrong(l.s.name, "", problem, remedy)
}

// decimalComma matches a number as it is written in much of Europe.
var decimalComma = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[-+]?\d+,\d+([eE][-+]?\d+)?$`) })

// asTable is what helps where a table is in another format.
const asTable = `write a table with df.to_csv("data.csv", index=False)`

const withPoints = `write decimals with points, as pandas.read_csv(FILE, sep=";", decimal=",").to_csv("points.csv", index=False) does`

// pointsOr is the remedy for a text that is no number.
func pointsOr(remedy, text string) string {
	if decimalComma().MatchString(text) {
		return withPoints
	}
	return remedy
}

// notNumber is the error for a feature that is no number.
func (c *csvReader) notNumber(j int, field string) error {
	column := strconv.Itoa(j)
	if c.header != nil {
		column = c.header[j]
	}
	remedy := pointsOr("replace texts by numbers and fill in missing values, or leave the column out with drop="+column, field)
	if c.n == 0 && !c.headed && remedy != withPoints {
		remedy = "if this line is a header, add ,header; " + remedy
	}
	if j == 0 && c.label == c.width-1 {
		remedy += "; if the label comes first, add ,label=0"
	}
	return c.wrong(c.at(j), fmt.Sprintf("%q is not a number", field), remedy)
}

// where names the current line.
func (c *csvReader) where() string {
	line, _ := c.r.FieldPos(0)
	return fmt.Sprintf("line %d", line)
}

// at names a field of the current line.
func (c *csvReader) at(j int) string {
	line, _ := c.r.FieldPos(j)
	if c.header != nil {
		return fmt.Sprintf("line %d, column %d (%q)", line, j, c.header[j])
	}
	return fmt.Sprintf("line %d, column %d", line, j)
}

func (c *csvReader) wrong(where, problem, remedy string) error {
	return wrong(c.s.name, where, problem, remedy)
}

// damaged wraps an error of the csv reader, which names line and column.
func (c *csvReader) damaged(err error) error {
	if d, ok := errors.AsType[*DataError](err); ok {
		return d
	}
	if p, ok := errors.AsType[*csv.ParseError](err); ok {
		return wrong(c.s.name, fmt.Sprintf("line %d", p.Line), "not well-formed", cmp.Or(c.otherSeparator(), "check the quotes of this line")).because(p.Err)
	}
	return c.s.damaged(err)
}

// column collects values in bytes as long as all of them fit, which pixels and
// counts do, and in double precision from then on.
type column struct{ features }

// width is the bytes of one value.
func (c *column) width() int64 {
	if c.f64 != nil {
		return 8
	}
	return 1
}

func (c *column) add(v float64) {
	if c.f64 == nil {
		if v == math.Trunc(v) && v >= 0 && v <= math.MaxUint8 {
			c.u8 = append(c.u8, uint8(v))
			return
		}
		c.f64 = make([]float64, len(c.u8), 2*len(c.u8)+1)
		for i, b := range c.u8 {
			c.f64[i] = float64(b)
		}
		c.u8 = nil
	}
	c.f64 = append(c.f64, v)
}
