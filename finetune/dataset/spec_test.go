package dataset

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Spec{
		"mnist:data":                         {Format: "mnist", Paths: []string{"data"}},
		"mnist:data,split=test,limit=1000":   {Format: "mnist", Paths: []string{"data"}, Split: Test, Limit: 1000},
		"idx:a,b":                            {Format: "idx", Paths: []string{"a", "b"}},
		"idx:a,,1,b,,":                       {Format: "idx", Paths: []string{"a,1", "b,"}},
		"npy:x.npy,y.npy,task=class":         {Format: "npy", Paths: []string{"x.npy", "y.npy"}, Task: Classification},
		`csv:C:\a=b\x.csv,header,label=a,,b`: {Format: "csv", Paths: []string{`C:\a=b\x.csv`}, Header: true, Labels: []string{"a,b"}},
		"cifar10:d,scale=1/128,mean=1/2/3":   {Format: "cifar10", Paths: []string{"d"}, Scale: 1. / 128, Mean: []float64{1, 2, 3}},
		"svhn:f,mean=-1;2;3,std=.5":          {Format: "svhn", Paths: []string{"f"}, Mean: []float64{-1, 2, 3}, Std: []float64{.5}},
		"csv:f,classes=b;;c;a,,1":            {Format: "csv", Paths: []string{"f"}, Classes: []string{"b;c", "a,1"}},
		"npz:f,x=images,y=a,,b":              {Format: "npz", Paths: []string{"f"}, X: "images", Y: "a,b"},
		"npz:f,transpose":                    {Format: "npz", Paths: []string{"f"}, Transpose: LayoutSwap},
		"npz:f,transpose=hwc":                {Format: "npz", Paths: []string{"f"}, Transpose: LayoutHWC},
	} {
		got, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
		again, err := Parse(got.String())
		if d := cmp.Diff(want, again); err != nil || d != "" {
			t.Errorf("%s comes back as %s, %v:\n%s", text, got, err, d)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                  {"no format before the path", "cifar10, cifar100, csv, idx, mnist, npy, npz, svhn"},
		"data.csv":                          {"no format before the path", "such as csv:data.csv"},
		"data.tsv.gz,header":                {"such as csv:data.tsv.gz,header,sep=tab"},
		"a.npz":                             {"such as npz:a.npz"},
		"a.parquet":                         {"no format before the path", "df.to_csv"},
		"parquet:a.parquet,label=y":         {`format "parquet" is not known`, "of a parquet file", "df.to_csv"},
		"csv:a.csv,label=A,B":               {`option "B" is not known`, "label=A;B"},
		"mnits:data":                        {`format "mnits" is not known`},
		"mnist:":                            {"DIR is empty", "mnist:DIR"},
		"idx:a":                             {"got 1 of 2 paths", "idx:IMAGES,LABELS"},
		"idx:a,":                            {"LABELS is empty"},
		"mnist:d,":                          {`option "" is not known`},
		"mnist:a,b":                         {`option "b" is not known for mnist`, "written twice"},
		"mnist:d,label=1":                   {`option "label" is not known for mnist`, "split, limit"},
		"csv:f,split=test":                  {`want split=0.8:SEED`},
		"mnist:d,split=valid":               {"split=valid", "split=train or split=test"},
		"mnist:d,split":                     {"want split="},
		"mnist:d,limit=0":                   {"limit=0", "whole number from 1"},
		"mnist:d,limit=1e3":                 {"limit=1e3"},
		"mnist:d,limit=1,limit=2":           {"limit is given twice"},
		"csv:f,classes=a;1;1.0":             {"classes=a;1;1.0", "each class once"},
		"csv:f,classes=a;":                  {"classes=A;B;C"},
		"csv:f,task=regression,classes=a;b": {"targets have no classes"},
		"mnist:d,scale=0":                   {"scale=0", "not 0"},
		"mnist:d,scale=1/0":                 {"scale=1/0"},
		"mnist:d,scale=x":                   {"scale=x"},
		"mnist:d,scale=1/x":                 {"scale=1/x"},
		"mnist:d,mean=nan":                  {"mean=nan"},
		"mnist:d,mean=1//2":                 {"mean=1//2"},
		"mnist:d,std=0":                     {"std=0", "positive"},
		"mnist:d,std=1/-1":                  {"positive"},
		"mnist:d,transpose=":                {"transpose=hwc"},
		"mnist:d,transpose=swap":            {"transpose=hwc"},
		"csv:d,task=classification":         {"task=class or"},
		"csv:d,label=":                      {"index from 0"},
		"csv:d,header=yes":                  {"header without a value"},
	} {
		_, err := Parse(text)
		var e *SpecError
		if !errors.As(err, &e) || e.Spec != text || e.Remedy == "" {
			t.Errorf("%q: got %v, want a *SpecError with a remedy", text, err)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: got %q, want %q in it", text, err, part)
			}
		}
	}
	for _, spec := range []Spec{{}, {Format: "idx", Paths: []string{"a"}}, {Format: "csv", Paths: []string{"a"}, Limit: -1}} {
		var e *SpecError
		if _, err := Load(context.Background(), spec, Options{}); !errors.As(err, &e) {
			t.Errorf("Load(%v): got %v, want a *SpecError", spec, err)
		}
	}
}
