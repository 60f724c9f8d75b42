package table

import "bytes"

// LimitPages sets the most that a page may unpack to, and gives what sets it back.
func LimitPages(bytes int64) (back func()) {
	most := maxPage
	maxPage = bytes
	return func() { maxPage = most }
}

// Unsnappy unpacks a block that is in memory, and UnsnappyFrom one that is read
// in pieces of so many bytes.
func Unsnappy(dst, src []byte) error { return unsnappy(dst, src, 0) }

func UnsnappyFrom(dst, src []byte, piece int) error {
	return unsnappyFrom(dst, make([]byte, piece), 0, bytes.NewReader(src), 0, int64(len(src)))
}

// BatchRows sets how many rows of a Parquet file make a batch, and gives what
// sets it back.
func BatchRows(rows int) (back func()) {
	most := batchRows
	batchRows = rows
	return func() { batchRows = most }
}
