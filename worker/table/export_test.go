package table

// LimitPages sets the most that a page may unpack to, and gives what sets it back.
func LimitPages(bytes int64) (back func()) {
	most := maxPage
	maxPage = bytes
	return func() { maxPage = most }
}

// Unsnappy is unsnappy.
var Unsnappy = unsnappy

// BatchRows sets how many rows of a Parquet file make a batch, and gives what
// sets it back.
func BatchRows(rows int) (back func()) {
	most := batchRows
	batchRows = rows
	return func() { batchRows = most }
}
