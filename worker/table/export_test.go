package table

// LimitPages sets the most that a page may unpack to, and gives what sets it back.
func LimitPages(bytes int64) (back func()) {
	most := maxPage
	maxPage = bytes
	return func() { maxPage = most }
}
