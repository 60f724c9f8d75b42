package asl

import (
	"crypto/md5"  //nolint:gosec // States.Hash offers it
	"crypto/sha1" //nolint:gosec // States.Hash offers it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// intrinsic is one of the States.* functions; max -1 means any number. The text
// of those that are may be a Fail state's error or cause.
type intrinsic struct {
	min, max int
	rawFirst bool
	text     bool
	run      func(sc *scope, args []any) (any, error)
}

var intrinsics = map[string]*intrinsic{
	"States.Array":          {0, -1, false, false, func(_ *scope, args []any) (any, error) { return args, nil }},
	"States.ArrayContains":  {2, 2, false, false, arrayContains},
	"States.ArrayGetItem":   {2, 2, false, true, arrayGetItem},
	"States.ArrayLength":    {1, 1, false, false, arrayLength},
	"States.ArrayPartition": {2, 2, false, false, arrayPartition},
	"States.ArrayRange":     {3, 3, false, false, arrayRange},
	"States.ArrayUnique":    {1, 1, false, false, arrayUnique},
	"States.Base64Decode":   {1, 1, false, true, base64Decode},
	"States.Base64Encode":   {1, 1, false, true, base64Encode},
	"States.Format":         {1, -1, true, true, format},
	"States.Hash":           {2, 2, false, true, hashOf},
	"States.JsonMerge":      {3, 3, false, false, jsonMerge},
	"States.JsonToString":   {1, 1, false, true, jsonToString},
	"States.MathAdd":        {2, 2, false, false, mathAdd},
	"States.MathRandom":     {2, 3, false, false, mathRandom},
	"States.StringSplit":    {2, 2, false, false, stringSplit},
	"States.StringToJson":   {1, 1, false, false, stringToJSON},
	"States.UUID":           {0, 0, false, true, func(sc *scope, _ []any) (any, error) { return sc.uuid(), nil }},
}

// maxText is the longest text, in characters, that Hash and Base64* take.
const maxText = 10_000

// maxRange is the most numbers that ArrayRange makes.
const maxRange = 1000

func listArg(args []any, i int) ([]any, error) {
	list, ok := args[i].([]any)
	if !ok {
		return nil, fmt.Errorf("argument %d must be an array but was: %s", i+1, appendJSON(nil, args[i]))
	}
	return list, nil
}

func textArg(args []any, i int) (string, error) {
	text, ok := args[i].(string)
	if !ok {
		return "", fmt.Errorf("argument %d must be a string but was: %s", i+1, appendJSON(nil, args[i]))
	}
	return text, nil
}

// intArg rounds a number half up, as AWS does.
func intArg(args []any, i int) (int64, error) {
	n, ok := asNumber(args[i])
	if !ok {
		return 0, fmt.Errorf("argument %d must be a number but was: %s", i+1, appendJSON(nil, args[i]))
	}
	if whole, ok := integer(n); ok {
		return whole, nil
	}
	f, err := n.Float64()
	if err != nil || math.Abs(f) > 1<<62 {
		return 0, fmt.Errorf("argument %d is out of range: %s", i+1, n)
	}
	return int64(math.Floor(f + 0.5)), nil
}

func arrayContains(_ *scope, args []any) (any, error) {
	list, err := listArg(args, 0)
	for _, e := range list {
		if equal(e, args[1]) {
			return true, nil
		}
	}
	return false, err
}

func arrayGetItem(_ *scope, args []any) (any, error) {
	list, err := listArg(args, 0)
	if err != nil {
		return nil, err
	}
	i, err := intArg(args, 1)
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= int64(len(list)) {
		return nil, fmt.Errorf("the index %d is out of bounds for an array of length %d", i, len(list))
	}
	return list[i], nil
}

func arrayLength(_ *scope, args []any) (any, error) {
	list, err := listArg(args, 0)
	return number(int64(len(list))), err
}

func arrayPartition(_ *scope, args []any) (any, error) {
	list, err := listArg(args, 0)
	if err != nil {
		return nil, err
	}
	size, err := intArg(args, 1)
	if err != nil {
		return nil, err
	}
	if size <= 0 {
		return nil, errors.New("the chunk size must be a positive integer")
	}
	out := []any{}
	for len(list) > 0 {
		n := int(min(size, int64(len(list))))
		out = append(out, list[:n:n])
		list = list[n:]
	}
	return out, nil
}

func arrayRange(_ *scope, args []any) (any, error) {
	var n [3]int64
	for i := range n {
		var err error
		if n[i], err = intArg(args, i); err != nil {
			return nil, err
		}
	}
	from, to, by := n[0], n[1], n[2]
	if by == 0 {
		return nil, errors.New("the increment must not be zero")
	}
	out := []any{}
	for i := from; by > 0 && i <= to || by < 0 && i >= to; i += by {
		if len(out) == maxRange {
			return nil, fmt.Errorf("the range has more than %d elements", maxRange)
		}
		out = append(out, number(i))
	}
	return out, nil
}

func arrayUnique(_ *scope, args []any) (any, error) {
	list, err := listArg(args, 0)
	out := []any{}
	for _, e := range list {
		seen := false
		for _, o := range out {
			seen = seen || equal(e, o)
		}
		if !seen {
			out = append(out, e)
		}
	}
	return out, err
}

func shortText(args []any) (string, error) {
	text, err := textArg(args, 0)
	if err == nil && utf8.RuneCountInString(text) > maxText {
		err = fmt.Errorf("the text is longer than %d characters", maxText)
	}
	return text, err
}

func base64Encode(_ *scope, args []any) (any, error) {
	text, err := shortText(args)
	return base64.StdEncoding.EncodeToString([]byte(text)), err
}

func base64Decode(_ *scope, args []any) (any, error) {
	text, err := shortText(args)
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("invalid Base64: %w", err)
	}
	return string(raw), nil
}

func format(_ *scope, args []any) (any, error) {
	text, err := textArg(args, 0)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	next := 1
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && (text[i+1] == '{' || text[i+1] == '}'):
			i++
			b.WriteByte(text[i])
		case c == '{' && i+1 < len(text) && text[i+1] == '}':
			if next == len(args) {
				return nil, errors.New("there are more {} than arguments")
			}
			b.WriteString(display(args[next]))
			next++
			i++
		default:
			b.WriteByte(c)
		}
	}
	if next < len(args) {
		return nil, errors.New("there are more arguments than {}")
	}
	return b.String(), nil
}

var hashes = map[string]func() hash.Hash{
	"MD5": md5.New, "SHA-1": sha1.New, "SHA-256": sha256.New, "SHA-384": sha512.New384, "SHA-512": sha512.New,
}

func hashOf(_ *scope, args []any) (any, error) {
	data, ok := args[0].(string)
	if !ok {
		data = string(appendJSON(nil, args[0]))
	}
	if utf8.RuneCountInString(data) > maxText {
		return nil, fmt.Errorf("the text is longer than %d characters", maxText)
	}
	name, err := textArg(args, 1)
	if err != nil {
		return nil, err
	}
	make, ok := hashes[name]
	if !ok {
		return nil, fmt.Errorf("the algorithm %q is none of MD5, SHA-1, SHA-256, SHA-384, SHA-512", name)
	}
	h := make()
	h.Write([]byte(data))
	return hex.EncodeToString(h.Sum(nil)), nil
}

func jsonMerge(_ *scope, args []any) (any, error) {
	a, okA := args[0].(*object)
	b, okB := args[1].(*object)
	if !okA || !okB {
		return nil, errors.New("the first two arguments must be objects")
	}
	deep, ok := args[2].(bool)
	if !ok || deep {
		return nil, errors.New("only the shallow merge is supported: the third argument must be false")
	}
	out := a.copy(len(b.names))
	for i, k := range b.names {
		out.set(k, b.values[i])
	}
	return out, nil
}

func jsonToString(_ *scope, args []any) (any, error) { return string(appendJSON(nil, args[0])), nil }

func stringToJSON(_ *scope, args []any) (any, error) {
	text, err := textArg(args, 0)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	v, err := decode(text, false)
	if err != nil {
		fault, _ := wordFault(text, err)
		return nil, errors.New(fault)
	}
	return v, nil
}

func mathAdd(_ *scope, args []any) (any, error) {
	a, err := intArg(args, 0)
	if err != nil {
		return nil, err
	}
	b, err := intArg(args, 1)
	if sum := a + b; err != nil || (sum > a) == (b > 0) {
		return number(sum), err
	}
	return nil, fmt.Errorf("the sum of %d and %d is out of range", a, b)
}

func mathRandom(sc *scope, args []any) (any, error) {
	from, err := intArg(args, 0)
	if err != nil {
		return nil, err
	}
	to, err := intArg(args, 1)
	if err != nil {
		return nil, err
	}
	if to <= from {
		return nil, errors.New("the end must be greater than the start")
	}
	roll := sc.rand
	if len(args) == 3 {
		seed, err := intArg(args, 2)
		if err != nil {
			return nil, err
		}
		roll = rand.New(rand.NewPCG(uint64(seed), 0)).Float64 //nolint:gosec // not a secret
	}
	return json.Number(fmt.Sprint(from + int64(roll()*float64(to-from)))), nil
}

func stringSplit(_ *scope, args []any) (any, error) {
	text, err := textArg(args, 0)
	if err != nil {
		return nil, err
	}
	separators, err := textArg(args, 1)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		out = append(out, part)
	}
	return out, nil
}
