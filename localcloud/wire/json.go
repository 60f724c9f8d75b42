package wire

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/document"
	"github.com/aws/smithy-go/middleware"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

var decodeOptions = json.JoinOptions(
	json.MatchCaseInsensitiveNames(true),
	json.RejectUnknownMembers(true),
	json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(decodeTime),
	)),
)

// decodeTime takes epoch seconds (awsJson) or RFC 3339 (internal calls).
func decodeTime(d *jsontext.Decoder, t *time.Time) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() == '"' {
		s, err := strconv.Unquote(string(v))
		if err != nil {
			return err
		}
		parsed, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return fmt.Errorf("parse timestamp %q: %w", s, err)
		}
		*t = parsed
		return nil
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil {
		return fmt.Errorf("parse timestamp %s: %w", v, err)
	}
	sec, frac := math.Modf(f)
	*t = time.Unix(int64(sec), int64(math.Round(frac*1e3))*1e6).UTC()
	return nil
}

// DecodeJSON decodes into an SDK struct; a member that does not exist is
// refused by name. Empty input is an empty object.
func DecodeJSON(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, into, decodeOptions); err != nil {
		return Errorf("SerializationException", "%v", err)
	}
	return nil
}

// EncodeJSON encodes an SDK struct as awsJson does: nil members and empty enums
// left out, times as epoch seconds, blobs in base64, map keys sorted. With
// lower, struct members (never map keys) are lowerCamel.
func EncodeJSON(v any, lower bool) ([]byte, error) {
	var b bytes.Buffer
	if err := encodeValue(&b, reflect.ValueOf(v), lower); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	metadataType = reflect.TypeFor[middleware.Metadata]()
)

func encodeValue(b *bytes.Buffer, v reflect.Value, lower bool) error {
	if !v.IsValid() {
		b.WriteString("null")
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("null")
			return nil
		}
		if d, ok := v.Interface().(document.Marshaler); ok {
			raw, err := d.MarshalSmithyDocument()
			if err != nil {
				return fmt.Errorf("encode document: %w", err)
			}
			b.Write(raw)
			return nil
		}
		return encodeValue(b, v.Elem(), lower)
	case reflect.Struct:
		if v.Type() == timeType {
			t := v.Interface().(time.Time)
			b.WriteString(strconv.FormatFloat(float64(t.UnixMilli())/1e3, 'f', -1, 64))
			return nil
		}
		return encodeStruct(b, v, lower)
	case reflect.Map:
		return encodeMap(b, v, lower)
	case reflect.Slice, reflect.Array:
		return encodeSlice(b, v, lower)
	case reflect.String:
		return encodeString(b, v.String())
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		b.WriteString(strconv.FormatUint(v.Uint(), 10))
	case reflect.Float32, reflect.Float64:
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return encodeString(b, strconv.FormatFloat(f, 'g', -1, 64))
		}
		b.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
	default:
		return fmt.Errorf("encode json: unsupported kind %s", v.Kind())
	}
	return nil
}

func encodeStruct(b *bytes.Buffer, v reflect.Value, lower bool) error {
	b.WriteByte('{')
	first := true
	for i := range v.NumField() {
		f := v.Type().Field(i)
		fv := v.Field(i)
		if !f.IsExported() || f.Type == metadataType || omitted(fv) {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		name := f.Name
		if lower {
			name = model.LowerFirst(name)
		}
		if err := encodeString(b, name); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := encodeValue(b, fv, lower); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

// omitted reports members that AWS leaves out: nil ones and enums without a value.
func omitted(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	}
	return false
}

func encodeMap(b *bytes.Buffer, v reflect.Value, lower bool) error {
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := encodeString(b, k.String()); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := encodeValue(b, v.MapIndex(k), lower); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func encodeSlice(b *bytes.Buffer, v reflect.Value, lower bool) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return encodeString(b, base64.StdEncoding.EncodeToString(v.Bytes()))
	}
	b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := encodeValue(b, v.Index(i), lower); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

func encodeString(b *bytes.Buffer, s string) error {
	q, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return fmt.Errorf("encode string: %w", err)
	}
	b.Write(q)
	return nil
}
