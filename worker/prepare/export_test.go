package prepare

// SortInMemory sets how many bytes are sorted without going to disk, and gives
// what sets it back.
func SortInMemory(bytes int) (back func()) {
	rows, values := rowsInMemory, valuesInMemory
	rowsInMemory, valuesInMemory = bytes, bytes
	return func() { rowsInMemory, valuesInMemory = rows, values }
}
