package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	strict "github.com/go-json-experiment/json"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/table"
)

// asker turns rows into scores.
type asker struct {
	model   *bundle.Bundle
	columns []string // of a row, the key first if the model has one
	keyed   bool
	types   []features.Type
	width   int // of the features
}

// question is the rows of a request as features, row by row.
type question struct {
	rows int
	data []float32
	keys []string
}

func newAsker(b *bundle.Bundle) *asker {
	a := &asker{model: b, columns: b.Spec.Columns, width: b.Model.NumFeatures()}
	if b.Program == nil { // XGBoost's container takes the features themselves
		a.types = slices.Repeat([]features.Type{features.Number}, len(a.columns))
		return a
	}
	a.keyed, a.types = true, append([]features.Type{features.Text}, b.Program.Types()...)
	return a
}

// add computes the features of a row.
func (a *asker) add(q *question, row []features.Value) {
	at, key := len(q.data), ""
	q.data = slices.Grow(q.data, a.width)[:at+a.width]
	if a.keyed {
		a.model.Program.Row(row[1:], q.data[at:])
		key = strings.Clone(row[0].Text)
	} else {
		for i, v := range row {
			q.data[at+i] = float32(v.Number)
		}
	}
	q.keys = append(q.keys, key)
	q.rows++
}

// needed tells whether a column must be there; a row may do without its key.
func (a *asker) needed(c int) bool { return c > 0 || !a.keyed }

// parse reads a cell of column c.
func (a *asker) parse(c int, cell, where string) (features.Value, error) {
	v, err := features.ParseValue(a.types[c], cell)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
		return v, refuse(http.StatusBadRequest, "%s, column %q: %v", where, a.columns[c], err)
	}
	return v, nil
}

// fromCSV reads rows of the model's columns. A first row of column names is a
// header, which may name them in any order and leave out the key.
func (a *asker) fromCSV(raw []byte) (*question, error) {
	raw = bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF")) // a byte order mark
	rows, q := table.NewRows(bytes.NewReader(raw)), &question{}
	order := make([]int, len(a.columns)) // position in a row of each column; -1: absent
	for i := range order {
		order[i] = i
	}
	width := len(a.columns)
	row := make([]features.Value, len(a.columns))
	for first := true; ; first = false {
		fields, line, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return q, nil
		}
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "%v", err)
		}
		if first && a.isHeader(fields) {
			if order, err = a.header(fields); err != nil {
				return nil, err
			}
			width = len(fields)
			continue
		}
		where := fmt.Sprintf("row %d", q.rows+1)
		if len(fields) != width {
			return nil, refuse(http.StatusBadRequest, "%s (line %d): %d values, want %d: %s", where, line, len(fields), width, strings.Join(a.columns, ", "))
		}
		for c, at := range order {
			if at < 0 {
				row[c] = features.Missing()
				continue
			}
			if row[c], err = a.parse(c, string(fields[at]), where); err != nil {
				return nil, err
			}
		}
		a.add(q, row)
	}
}

// isHeader tells whether a row names columns: at least half of the model's.
func (a *asker) isHeader(fields [][]byte) bool {
	named := 0
	for _, f := range fields {
		if slices.Contains(a.columns, strings.TrimSpace(string(f))) {
			named++
		}
	}
	return 2*named >= len(a.columns)
}

func (a *asker) header(fields [][]byte) ([]int, error) {
	order := make([]int, len(a.columns))
	for i := range order {
		order[i] = -1
	}
	for at, f := range fields {
		name := strings.TrimSpace(string(f))
		c := slices.Index(a.columns, name)
		switch {
		case c < 0:
			return nil, refuse(http.StatusBadRequest, "header: the model has no column %q; its columns are %s", name, strings.Join(a.columns, ", "))
		case order[c] >= 0:
			return nil, refuse(http.StatusBadRequest, "header: the column %q is named twice", name)
		}
		order[c] = at
	}
	for c, at := range order {
		if at < 0 && a.needed(c) {
			return nil, refuse(http.StatusBadRequest, "header: the column %q is missing", a.columns[c])
		}
	}
	return order, nil
}

// fromJSON reads {"instances":[{"column":value}]} or a single object of columns.
func (a *asker) fromJSON(raw []byte) (*question, error) {
	if raw = bytes.TrimSpace(raw); raw[0] != '{' { // there is more than space
		return nil, refuse(http.StatusBadRequest, `the body is not a JSON object: send {"instances": [{"column": value}]}, or the object of one row`)
	}
	var body map[string]json.RawMessage
	if err := strict.Unmarshal(raw, &body); err != nil { // nothing twice, and UTF-8
		return nil, refuse(http.StatusBadRequest, "the body is not a JSON object: %v", err)
	}
	instances := []json.RawMessage{raw}
	if list, ok := body["instances"]; ok && !slices.Contains(a.columns, "instances") {
		if len(body) > 1 {
			return nil, refuse(http.StatusBadRequest, `the body has more than "instances"`)
		}
		if err := json.Unmarshal(list, &instances); err != nil {
			return nil, refuse(http.StatusBadRequest, `"instances" is not a list: %v`, err)
		}
	}
	q, row := &question{}, make([]features.Value, len(a.columns))
	for i, instance := range instances {
		where := "row " + strconv.Itoa(i+1)
		d := json.NewDecoder(bytes.NewReader(instance))
		d.UseNumber()
		var cells map[string]any
		if err := d.Decode(&cells); err != nil || cells == nil {
			return nil, refuse(http.StatusBadRequest, "%s is not an object of columns", where)
		}
		if err := a.known(cells, where); err != nil {
			return nil, err
		}
		for c, name := range a.columns {
			cell, err := cellOf(cells[name])
			if err != nil {
				return nil, refuse(http.StatusBadRequest, "%s, column %q: %v", where, name, err)
			}
			if row[c], err = a.parse(c, cell, where); err != nil {
				return nil, err
			}
		}
		a.add(q, row)
	}
	return q, nil
}

// known refuses columns that the model does not have, and asks for all it has but
// the key; a value that is not known is null.
func (a *asker) known(cells map[string]any, where string) error {
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		if !slices.Contains(a.columns, name) {
			return refuse(http.StatusBadRequest, "%s: the model has no column %q; its columns are %s", where, name, strings.Join(a.columns, ", "))
		}
	}
	for c, name := range a.columns {
		if _, ok := cells[name]; !ok && a.needed(c) {
			return refuse(http.StatusBadRequest, "%s: the column %q is missing (write null when its value is not known)", where, name)
		}
	}
	return nil
}

// cellOf writes a JSON value as the cell of a file would have it.
func cellOf(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", errors.New("the value is neither text, number, boolean nor null")
}

// together is from how many rows on they are scored as a block.
const together = 64

// ask scores the rows: a number each, or one for each class.
func (a *asker) ask(q *question) []float32 {
	if q.rows < together {
		width := a.model.Width()
		scores := make([]float32, q.rows*width)
		for r := range q.rows {
			if row := q.data[r*a.width : (r+1)*a.width]; len(a.model.Spec.Classes) > 0 {
				a.model.Model.PredictRowClasses(row, scores[r*width:(r+1)*width])
			} else {
				scores[r] = a.model.Model.PredictRow(row)
			}
		}
		return scores
	}
	x := gbdt.Matrix{Rows: q.rows, Cols: a.width, Data: make([]float32, len(q.data))}
	for r := range q.rows {
		for c, v := range q.data[r*a.width : (r+1)*a.width] {
			x.Data[c*q.rows+r] = v
		}
	}
	return a.model.Scores(x)
}
