package spill

import (
	"bytes"
	"errors"
	"io"
)

// merged is several streams as one. The streams are a heap by their next keys.
type merged struct {
	all   []Stream
	heads []*head
	begun bool
}

type head struct {
	stream     Stream
	prefix     uint64
	key, value []byte
}

// Merge makes one stream of several. Closing it closes them.
func Merge(streams ...Stream) Stream { return &merged{all: streams} }

func (m *merged) Next() (key, value []byte, err error) {
	if !m.begun {
		if err := m.begin(); err != nil {
			return nil, nil, err
		}
	} else if len(m.heads) > 0 {
		if err := m.advance(); err != nil {
			return nil, nil, err
		}
	}
	if len(m.heads) == 0 {
		return nil, nil, io.EOF
	}
	return m.heads[0].key, m.heads[0].value, nil
}

func (m *merged) begin() error {
	m.begun = true
	for _, s := range m.all {
		h := &head{stream: s}
		switch err := h.next(); {
		case errors.Is(err, io.EOF):
		case err != nil:
			return err
		default:
			m.heads = append(m.heads, h)
		}
	}
	for i := len(m.heads)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return nil
}

// advance replaces the record that was given last.
func (m *merged) advance() error {
	switch err := m.heads[0].next(); {
	case errors.Is(err, io.EOF):
		last := len(m.heads) - 1
		m.heads[0] = m.heads[last]
		m.heads = m.heads[:last]
	case err != nil:
		return err
	}
	m.sink(0)
	return nil
}

func (h *head) next() (err error) {
	h.key, h.value, err = h.stream.Next()
	h.prefix = prefix(h.key)
	return err
}

func (m *merged) sink(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m.heads); child++ {
			if m.heads[child].before(m.heads[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		m.heads[i], m.heads[least] = m.heads[least], m.heads[i]
		i = least
	}
}

func (h *head) before(o *head) bool {
	if h.prefix != o.prefix {
		return h.prefix < o.prefix
	}
	return bytes.Compare(h.key, o.key) < 0
}

func (m *merged) Close() error {
	var errs []error
	for _, s := range m.all {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
