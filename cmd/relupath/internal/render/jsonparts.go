package render

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"io"
	"reflect"
	"strings"
)

// jsonParts writes what encoding/json writes of a value, in parts: that package makes all
// of it before it writes any, which of a report of a hundred thousand measures is far more
// than the report. No part has a list of more than maxAtOnce elements.
type jsonParts struct {
	w      io.Writer
	indent string
}

// maxAtOnce is the length up to which lists are encoded in one piece.
const maxAtOnce = 64

// value writes v, with a prefix before each line after the first.
func (e jsonParts) value(v reflect.Value, prefix string) error {
	v = target(v)
	switch {
	case !isLong(v):
		return e.whole(v, prefix)
	case v.Kind() == reflect.Slice:
		return e.list(v, prefix)
	}
	if err := e.open(v, prefix); err != nil {
		return err
	}
	end := "}"
	if e.indent != "" {
		end = "\n" + prefix + "}"
	}
	_, err := io.WriteString(e.w, end)
	return err
}

// whole writes v in one piece.
func (e jsonParts) whole(v reflect.Value, prefix string) error {
	var x any
	if v.IsValid() {
		x = v.Interface()
	}
	var b bytes.Buffer
	if err := encodeJSON(&b, x, prefix, e.indent); err != nil {
		return err
	}
	_, err := e.w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return err
}

// list writes a slice, which is not empty, a few elements at a time unless they are long.
func (e jsonParts) list(v reflect.Value, prefix string) error {
	inner, lead, end := prefix+e.indent, "", "]"
	if e.indent != "" {
		lead, end = "\n"+inner, "\n"+prefix+"]"
	}
	before := "["
	for i := 0; i < v.Len(); {
		if _, err := io.WriteString(e.w, before+lead); err != nil {
			return err
		}
		before = ","
		if isLong(v.Index(i)) {
			if err := e.value(v.Index(i), inner); err != nil {
				return err
			}
			i++
			continue
		}
		from := i
		for i < min(v.Len(), from+maxAtOnce) && !isLong(v.Index(i)) {
			i++
		}
		var b bytes.Buffer
		if err := (jsonParts{&b, e.indent}).whole(v.Slice(from, i), prefix); err != nil {
			return err
		}
		if _, err := e.w.Write(b.Bytes()[len("["+lead) : b.Len()-len(end)]); err != nil {
			return err
		}
	}
	_, err := io.WriteString(e.w, end)
	return err
}

// open writes an object without its end.
func (e jsonParts) open(v reflect.Value, prefix string) error {
	v = target(v)
	if v.Kind() != reflect.Struct || marshals(v.Type()) {
		var b bytes.Buffer
		if err := (jsonParts{&b, e.indent}).whole(v, prefix); err != nil {
			return err
		}
		_, err := io.WriteString(e.w, unclosed(b.String()))
		return err
	}
	inner, lead := prefix+e.indent, ""
	colon := ":"
	if e.indent != "" {
		lead, colon = "\n"+inner, ": "
	}
	before := "{"
	for name, f := range fields(v) {
		if _, err := io.WriteString(e.w, before+lead+`"`+name+`"`+colon); err != nil {
			return err
		}
		if err := e.value(f, inner); err != nil {
			return err
		}
		before = ","
	}
	if before == "{" {
		_, err := io.WriteString(e.w, before)
		return err
	}
	return nil
}

// fields calls yield with the names and values of the fields that an object of JSON has, in its
// order: those of embedded structs stand in their place. All names differ.
func fields(v reflect.Value) func(yield func(string, reflect.Value) bool) {
	return func(yield func(string, reflect.Value) bool) { eachField(v, yield) }
}

func eachField(v reflect.Value, yield func(string, reflect.Value) bool) bool {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			if inner := target(v.Field(i)); inner.IsValid() && !eachField(inner, yield) {
				return false
			}
		case !f.IsExported() || name == "-" || options == "omitempty" && isEmpty(v.Field(i)):
		default:
			if !yield(cmp.Or(name, f.Name), v.Field(i)) {
				return false
			}
		}
	}
	return true
}

// isEmpty is what omitempty means.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// target returns what v points to, the zero Value for nil.
func target(v reflect.Value) reflect.Value {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && !marshals(v.Type()) {
		v = v.Elem()
	}
	return v
}

// marshals reports whether a type has an encoding of its own.
func marshals(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// isLong reports whether a value has a list of more than maxAtOnce elements, itself or inside
// structs and lists.
func isLong(v reflect.Value) bool {
	v = target(v)
	if !v.IsValid() || marshals(v.Type()) {
		return false
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range fields(v) {
			if isLong(f) {
				return true
			}
		}
	case reflect.Slice:
		if e := v.Type().Elem().Kind(); e == reflect.Uint8 { // which is text of base 64
			return false
		}
		if v.Len() > maxAtOnce {
			return true
		}
		for i := range v.Len() {
			if isLong(v.Index(i)) {
				return true
			}
		}
	}
	return false
}
