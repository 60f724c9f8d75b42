package table

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Limits that keep a hostile file from taking the machine.
const (
	MaxLine     = 1 << 20 // bytes of one row, quotes and all
	MaxColumns  = 4096
	MaxFile     = 1 << 40   // uncompressed bytes
	MaxProblems = 20        // reported of one file
	maxWindow   = 128 << 20 // bytes that a zstd stream may make us remember

	skippable = 0x184D2A50 // begins zstd's skippable frames, but for the last four bits
)

// Format is how a file holds its rows.
type Format string

// The formats. CSV may be compressed by gzip or zstd, which its first bytes say.
const (
	CSV     Format = "csv"
	Parquet Format = "parquet"
)

// Source is one file.
type Source struct {
	Key    string // how messages call it
	Format Format // "": CSV
	// Open opens it. What it gives must be an io.ReaderAt that knows its size
	// (an *os.File does) when the format is Parquet.
	Open func() (io.ReadCloser, error)
}

var (
	bomUTF8    = []byte{0xEF, 0xBB, 0xBF}
	bomUTF16   = [][]byte{{0xFE, 0xFF}, {0xFF, 0xFE}}
	magicGzip  = []byte{0x1f, 0x8b}
	magicZstd  = []byte{0x28, 0xb5, 0x2f, 0xfd}
	magicParq  = []byte("PAR1")
	magicOrZip = []byte("PK\x03\x04")
	magicBzip2 = []byte("BZh")
	magicXz    = []byte("\xfd7zX")
)

// text is the uncompressed text of a CSV file.
type text struct {
	in     io.Reader
	coding string // gzip | zstd | ""
	closes []func()
}

func (t *text) close() {
	for i := len(t.closes) - 1; i >= 0; i-- {
		t.closes[i]()
	}
}

// openText looks through compression and a byte order mark. The error is
// Problems when the file is at fault.
func openText(src Source) (*text, error) {
	raw, err := src.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", src.Key, err)
	}
	t := &text{closes: []func(){func() { raw.Close() }}}
	if err := t.begin(src.Key, raw); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *text) begin(key string, raw io.Reader) error {
	in := bufio.NewReaderSize(raw, 1<<16)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", key, err)
	}
	fail := func(message, hint string) error {
		return Problems{{Key: key, Message: message, Hint: hint}}
	}
	switch {
	case bytes.HasPrefix(head, magicGzip):
		z, err := gzip.NewReader(in)
		if err != nil {
			return fail("the gzip stream is damaged at its beginning: "+codingText(err), "upload the file again")
		}
		t.coding, in = "gzip", bufio.NewReaderSize(z, 1<<16)
	case bytes.HasPrefix(head, magicZstd), len(head) == 4 && binary.LittleEndian.Uint32(head)&^0xf == skippable: // pzstd begins with such a frame
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		t.closes = append(t.closes, z.Close)
		t.coding, in = "zstd", bufio.NewReaderSize(z, 1<<16)
	case bytes.HasPrefix(head, magicParq):
		return fail("the file is Parquet, and the pipeline reads CSV", "write data.format: parquet, or upload CSV")
	case bytes.HasPrefix(head, magicOrZip):
		return fail("the file is a ZIP archive (or a workbook), not CSV", "upload the CSV file itself, or compress it by gzip or zstd")
	case bytes.HasPrefix(head, magicXz), bytes.HasPrefix(head, magicBzip2) && len(head) == 4 && head[3] >= '1' && head[3] <= '9':
		return fail("the file is compressed by bzip2 or xz", "compress it by gzip or zstd")
	}
	if t.coding != "" {
		if head, err = in.Peek(3); err != nil && !errors.Is(err, io.EOF) {
			return fail("the "+t.coding+" stream is damaged at its beginning: "+codingText(err), "upload the file again")
		}
	}
	if len(head) == 0 {
		return fail("the file is empty", "a header and at least one row are needed")
	}
	for _, bom := range bomUTF16 {
		if bytes.HasPrefix(head, bom) {
			return fail("the file is UTF-16, not UTF-8", "save it as UTF-8")
		}
	}
	if bytes.HasPrefix(head, bomUTF8) {
		if _, err := in.Discard(len(bomUTF8)); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
	}
	t.in = in
	return nil
}

// broken is what an error of reading means: a fault of the file when it is
// compressed, else the error itself.
func (t *text) broken(err error) error {
	switch {
	case t.coding == "":
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &fault{"the " + t.coding + " stream ends early, within or after this line", "the upload was cut short: upload the file again"}
	}
	return &fault{"the " + t.coding + " stream is damaged: " + codingText(err), "upload the file again"}
}

func codingText(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "it ends early"
	}
	return strings.TrimPrefix(err.Error(), "gzip: ")
}

// sized is a file that can be read at any place.
type sized interface {
	io.ReadCloser
	io.ReaderAt
}

// sizeOf is the length of what a Source opened.
func sizeOf(f sized) (int64, error) {
	switch s := f.(type) {
	case interface{ Size() int64 }:
		return s.Size(), nil
	case interface{ Stat() (fs.FileInfo, error) }:
		info, err := s.Stat()
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	return 0, fmt.Errorf("%T does not know its size", f)
}
