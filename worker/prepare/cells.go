package prepare

import "github.com/millrace-ml/millrace/worker/table"

// cells are the texts of a batch's cells as the model will see them: one that a
// check tolerates though it is not of its type is missing to the model, and so it
// is here.
type cells []struct {
	text    []byte
	ends    []uint32
	numbers []float64
}

// read takes a batch's cells; they are valid as long as the batch is.
func (c *cells) read(b *table.Batch) {
	if len(*c) != len(b.Columns) {
		*c = make(cells, len(b.Columns))
	}
	for i := range b.Columns {
		of := &(*c)[i]
		of.text, of.ends = b.Columns[i].AppendAll(of.text[:0], of.ends[:0], b.Rows)
		of.numbers = b.Columns[i].Numbers
	}
}

// at is a row's cell.
func (c cells) at(column, row int) []byte {
	of := &c[column]
	if of.numbers != nil && of.numbers[row] != of.numbers[row] {
		return nil
	}
	from := uint32(0)
	if row > 0 {
		from = of.ends[row-1]
	}
	return of.text[from:of.ends[row]]
}

// appendQuoted appends a cell as CSV has it.
func appendQuoted[T string | []byte](b []byte, cell T) []byte {
	quoted := false
	for i := range len(cell) {
		c := cell[i]
		quoted = quoted || c == ',' || c == '"' || c == '\n' || c == '\r'
	}
	if !quoted {
		return append(b, cell...)
	}
	b = append(b, '"')
	for i := range len(cell) {
		if cell[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, cell[i])
	}
	return append(b, '"')
}
