package gbdt

import (
	"fmt"
	"math"
)

// Matrix holds the features of Rows rows, one column after the other.
type Matrix struct {
	Rows, Cols int
	// Data is column-major: the value of row r and column c is Data[c*Rows+r].
	// NaN means missing.
	Data []float32
	// Names has one name per column, or is empty.
	Names []string
}

// Column returns the values of column c, sharing memory with the matrix.
func (x Matrix) Column(c int) []float32 { return x.Data[c*x.Rows : (c+1)*x.Rows] }

// name is how messages call column c.
func (x Matrix) name(c int) string {
	if c < len(x.Names) {
		return fmt.Sprintf("feature %q", x.Names[c])
	}
	return fmt.Sprintf("feature %d", c)
}

// checkShape tells whether the fields agree with each other.
func (x Matrix) checkShape() error {
	if x.Rows < 0 || x.Cols < 0 {
		return fmt.Errorf("matrix has negative size %d x %d", x.Rows, x.Cols)
	}
	if x.Cols > 0 && x.Rows > math.MaxInt/x.Cols || len(x.Data) != x.Rows*x.Cols {
		return fmt.Errorf("matrix of %d rows x %d columns holds %d values", x.Rows, x.Cols, len(x.Data))
	}
	if len(x.Names) != 0 && len(x.Names) != x.Cols {
		return fmt.Errorf("matrix has %d columns and %d names", x.Cols, len(x.Names))
	}
	return nil
}

// checkTrainable tells whether the matrix can be learned from.
func (x Matrix) checkTrainable() error {
	if err := x.checkShape(); err != nil {
		return err
	}
	if x.Rows == 0 {
		return fmt.Errorf("matrix has no rows")
	}
	if x.Cols == 0 {
		return fmt.Errorf("matrix has no columns")
	}
	if x.Rows > maxRows {
		return fmt.Errorf("matrix has %d rows, at most %d are supported", x.Rows, maxRows)
	}
	seen := make(map[string]int, len(x.Names))
	for c, name := range x.Names {
		if name == "" {
			return fmt.Errorf("column %d has an empty name", c)
		}
		if other, dup := seen[name]; dup {
			return fmt.Errorf("columns %d and %d are both named %q", other, c, name)
		}
		seen[name] = c
	}
	for c := range x.Cols {
		for r, v := range x.Column(c) {
			if v >= math.MaxFloat32 || v <= -math.MaxFloat32 { // x < condition is to hold for all values at the last condition
				return fmt.Errorf("%s is %v in row %d, must be below %v (missing is NaN)", x.name(c), v, r, float32(math.MaxFloat32))
			}
		}
	}
	return nil
}
