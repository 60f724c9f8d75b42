package table

import (
	"bufio"
	"errors"
	"io"
)

// Rows reads rows one by one, without a header and without columns: what a
// request holds.
type Rows struct{ r *reader }

// NewRows begins to read.
func NewRows(in io.Reader) *Rows {
	return &Rows{&reader{in: bufio.NewReaderSize(in, 1<<14), next: 1}}
}

// Next is the next row that is not blank and its line; valid until the call
// after. The error is io.EOF at the end, a Problem, or the source's.
func (r *Rows) Next() (fields [][]byte, line int, err error) {
	fields, err = r.r.row()
	var f *fault
	if errors.As(err, &f) {
		err = Problem{Line: r.r.line, Message: f.message, Hint: f.hint}
	}
	return fields, r.r.line, err
}
