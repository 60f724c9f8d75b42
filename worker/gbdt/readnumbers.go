package gbdt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// floats is an array of numbers, of which some may be infinite or not a number: XGBoost
// writes these as Infinity, -Infinity and NaN, which JSON does not have, so that quoteOddNumbers
// puts them in quotes first.
type floats []float32

func (f *floats) UnmarshalJSON(text []byte) error {
	if bytes.Equal(text, []byte("null")) {
		*f = nil
		return nil
	}
	if len(text) < 2 || text[0] != '[' {
		return fmt.Errorf("%.40s is not an array of numbers", text)
	}
	text = bytes.TrimSpace(text[1 : len(text)-1])
	out := make(floats, 0, bytes.Count(text, []byte{','})+1)
	for more := len(text) > 0; more; {
		var item []byte
		item, text, more = bytes.Cut(text, []byte{','})
		item = bytes.Trim(item, " \t\r\n")
		quoted := item[0] == '"' // JSON has no empty item
		switch string(item) {
		case `"NaN"`, `"Infinity"`, `"-Infinity"`:
			item = item[1 : len(item)-1]
			quoted = false
		}
		v, err := strconv.ParseFloat(string(item), 32)
		if err != nil || quoted {
			return fmt.Errorf("%.40s is not a number of 32 bits", item)
		}
		out = append(out, float32(v))
	}
	*f = out
	return nil
}

// finite tells whether every value is.
func (f floats) finite() bool {
	for _, v := range f {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// oddNumbers are XGBoost's, beyond those of JSON.
var oddNumbers = [][]byte{[]byte("NaN"), []byte("-Infinity"), []byte("Infinity")}

// quoteOddNumbers puts what is in oddNumbers, outside of texts, in quotes.
func quoteOddNumbers(data []byte) []byte {
	if !bytes.Contains(data, oddNumbers[0]) && !bytes.Contains(data, oddNumbers[2]) {
		return data
	}
	out := make([]byte, 0, len(data)+len(data)/8)
next:
	for i := 0; i < len(data); {
		if data[i] == '"' {
			end := i + 1
			for end < len(data) && data[end] != '"' {
				if data[end] == '\\' {
					end++
				}
				end++
			}
			end = min(end+1, len(data))
			out = append(out, data[i:end]...)
			i = end
			continue
		}
		for _, odd := range oddNumbers {
			if bytes.HasPrefix(data[i:], odd) {
				out = append(append(append(out, '"'), odd...), '"')
				i += len(odd)
				continue next
			}
		}
		out = append(out, data[i])
		i++
	}
	return out
}

// treeList is the trees, read and checked one by one, so that a hostile file of many
// that are hardly there costs no more memory than its size.
type treeList []*tree

func (l *treeList) UnmarshalJSON(text []byte) error {
	*l = nil
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return errors.New("trees are not an array")
	}
	for i := 0; d.More(); i++ {
		var f treeFile
		if err := d.Decode(&f); err != nil {
			return fmt.Errorf("tree %d: %w", i, err)
		}
		t, err := f.tree()
		if err != nil {
			return fmt.Errorf("tree %d: %w", i, err)
		}
		*l = append(*l, t)
	}
	return nil
}

// fits tells whether a tree's splits are on features that there are.
func (t *tree) fits(features int) error {
	for n, left := range t.left {
		if left >= 0 && int(t.feature[n]) >= features {
			return fmt.Errorf("node %d: feature %d is not one of %d", n, t.feature[n], features)
		}
	}
	return nil
}

// leastBase is how near to 0 and 1 a logistic base score is since XGBoost 3.2, which moves
// those beyond; until 3.1 it took every number between 0 and 1.
const leastBase float32 = 1e-6

// nearestBase is the base score that XGBoost of that version begins from.
func nearestBase(v float32, version []int) (float32, error) {
	if len(version) >= 2 && (version[0] > 3 || version[0] == 3 && version[1] >= 2) && v >= 0 && v <= 1 {
		return min(max(v, leastBase), 1-leastBase), nil
	}
	if !(v > 0 && v < 1) {
		return 0, fmt.Errorf("base_score %v is not between 0 and 1", v)
	}
	return v, nil
}
