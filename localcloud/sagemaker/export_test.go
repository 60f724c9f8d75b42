package sagemaker

import "io"

// Parsers that the fuzz tests reach directly.

func FilterCSV(filter string, line []byte) ([]byte, error) {
	f, err := parseFilter(filter)
	if err != nil || !f.columns() {
		return nil, errOf(err)
	}
	return f.csv(line)
}

func FilterJSON(filter string, doc []byte) ([]byte, error) {
	f, err := parseFilter(filter)
	if err != nil {
		return nil, err
	}
	return f.json(doc)
}

func errOf(err error) error {
	if err == nil {
		return blame("not for CSV")
	}
	return err
}

func JoinJSON(record, prediction []byte) ([]byte, error) { return joinJSON(record, prediction) }

func Pack(dir, archive string) error                    { return pack(dir, archive) }
func Unpack(r io.Reader, dir string, limit int64) error { return unpack(r, dir, limit) }
func Repository(uri string) (name, digest string)       { return repository(uri) }
