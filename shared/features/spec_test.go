package features_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/features"
)

func TestSpecRoundTrip(t *testing.T) {
	p := flightProgram(t)
	data, err := p.Spec("flights", "binary").Marshal()
	if err != nil {
		t.Fatal(err)
	}
	spec, again, err := features.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(spec.Columns, " "); got != "id at origin dest dist seats" {
		t.Errorf("columns %s", got)
	}
	second, err := again.Spec("flights", "binary").Marshal()
	if err != nil || !bytes.Equal(data, second) {
		t.Errorf("the second writing differs: %v\n%s\n%s", err, data, second)
	}
	for _, cells := range []map[string]string{
		{"at": "2001-02-01 09:15:00", "origin": "ORD", "dest": "SEA", "dist": "5.5", "seats": "100"},
		{"at": "2001-02-01 10:15:00", "origin": "LAX", "dist": "7"},
	} {
		one, two := make([]float32, len(p.Names())), make([]float32, len(again.Names()))
		p.Row(row(t, p.Columns(), cells), one)
		again.Row(row(t, again.Columns(), cells), two)
		for i := range one {
			if math.Float32bits(one[i]) != math.Float32bits(two[i]) {
				t.Errorf("%s: %v before, %v after", p.Names()[i], one[i], two[i])
			}
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	good, err := flightProgram(t).Spec("flights", "binary").Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(m map[string]any)
		want string
	}{
		"version":            {func(m map[string]any) { m["version"] = 2 }, "version 2"},
		"unknown member":     {func(m map[string]any) { m["colums"] = nil }, "unknown"},
		"objective":          {func(m map[string]any) { m["objective"] = "multi" }, "objective"},
		"classes of two":     {func(m map[string]any) { m["classes"] = []string{"a"} }, "a binary model has no classes"},
		"few classes":        {func(m map[string]any) { m["objective"], m["classes"] = "multiclass", []string{"a", "b"} }, "2 classes are too few"},
		"class twice":        {func(m map[string]any) { m["objective"], m["classes"] = "multiclass", []string{"a", "b", "a"} }, "class \"a\" has no name or is there twice"},
		"key":                {func(m map[string]any) { m["key"] = "dest" }, "first column"},
		"no columns":         {func(m map[string]any) { m["columns"] = []string{} }, "first column"},
		"column twice":       {func(m map[string]any) { m["columns"] = []string{"id", "at", "at"} }, "twice"},
		"column order":       {func(m map[string]any) { m["columns"] = []string{"id", "at", "dest", "origin", "dist", "seats"} }, "in their order"},
		"type missing":       {func(m map[string]any) { delete(m["types"].(map[string]any), "at") }, "column \"at\""},
		"type extra":         {func(m map[string]any) { m["types"].(map[string]any)["x"] = "text" }, "types holds"},
		"type of key":        {func(m map[string]any) { m["types"].(map[string]any)["id"] = "number" }, "not text"},
		"type wrong":         {func(m map[string]any) { m["types"].(map[string]any)["at"] = "text" }, "needs a time"},
		"no features":        {func(m map[string]any) { m["features"] = nil }, "none"},
		"feature reads key":  {func(m map[string]any) { m["features"] = []any{map[string]any{"name": "a", "expr": "id"}} }, "reads the key"},
		"encoding missing":   {func(m map[string]any) { delete(m["encodings"].(map[string]any), "dest") }, "no categories"},
		"encoding extra":     {func(m map[string]any) { m["encodings"].(map[string]any)["nope"] = []string{"a"} }, "no such feature"},
		"encoding of number": {func(m map[string]any) { m["encodings"].(map[string]any)["dist"] = []string{"a"} }, "no encoding"},
		"encoding unsorted":  {func(m map[string]any) { m["encodings"].(map[string]any)["dest"] = []string{"SEA", "BOS"} }, "not sorted"},
		"encoding numbers":   {func(m map[string]any) { m["encodings"].(map[string]any)["seats"] = []string{"9", "1e1"} }, "number in order"},
		"names":              {func(m map[string]any) { m["feature_names"] = []string{"a"} }, "feature_names"},
	} {
		t.Run(name, func(t *testing.T) {
			var m map[string]any
			if err := json.Unmarshal(good, &m); err != nil {
				t.Fatal(err)
			}
			c.edit(m)
			data, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := features.Load(data); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	for name, data := range map[string]string{
		"empty":     "",
		"cut":       string(good[:len(good)/2]),
		"tail":      string(good) + "{}",
		"duplicate": `{"version":1,"version":1}`,
	} {
		if _, _, err := features.Load([]byte(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzLoad(f *testing.F) {
	good, err := flightProgram(f).Spec("flights", "binary").Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"objective":"binary","key":"k","columns":["k","a"],"types":{"k":"text","a":"number"},"features":[{"name":"a","expr":"a*2"}],"encodings":{},"feature_names":["a"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, p, err := features.Load(data)
		if err != nil {
			return
		}
		out := make([]float32, len(p.Names()))
		values := make([]features.Value, len(p.Columns()))
		for i := range values {
			values[i] = features.Missing()
		}
		p.Row(values, out)
		if _, err := spec.Marshal(); err != nil {
			t.Errorf("what was loaded cannot be written: %v", err)
		}
	})
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"dist", "hour(at) * 2", `origin in ["A"] ? 1 : 0`, "a?.b", "let x = 1; x", "1..2", "#", "dist ?? seats", "map(1, {# > 1})", `not cargo and "a" contains origin`, "::abs(1)", "dist | abs()"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		features.CheckExpression(source, nil)
		e, problems := features.CompileExpression(source, flightTypes)
		if len(problems) > 0 {
			return
		}
		values := make([]features.Value, len(e.Columns()))
		for i := range values {
			values[i] = features.Missing()
		}
		e.Number(values)
		for i, name := range e.Columns() {
			values[i] = features.Value{Number: 1}
			if flightTypes[name] == features.Text {
				values[i] = features.Value{Text: "A"}
			}
		}
		if v := e.Number(values); math.IsInf(v, 0) {
			t.Errorf("%q gave %v", source, v)
		}
	})
}
