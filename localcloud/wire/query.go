package wire

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"
)

func (s *Service) serveQuery(w http.ResponseWriter, r *http.Request) {
	body, err := ReadBody(w, r)
	if err != nil {
		s.writeQueryError(w, r, err)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		s.writeQueryError(w, r, Errorf("MalformedQueryString", "%v", err))
		return
	}
	for k, v := range r.URL.Query() {
		form[k] = v
	}
	name := form.Get("Action")
	out, err := s.Run(r.Context(), name, func(in any) error { return decodeForm(form, "", reflect.ValueOf(in).Elem()) })
	if err != nil {
		s.writeQueryError(w, r, err)
		return
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<%sResponse xmlns="%s"><%sResult>`, name, s.Namespace, name)
	if err := encodeXML(&b, reflect.ValueOf(out)); err != nil {
		s.writeQueryError(w, r, err)
		return
	}
	fmt.Fprintf(&b, `</%sResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`, name, RequestID(r.Context()), name)
	w.Header().Set("Content-Type", "text/xml")
	_, _ = w.Write(b.Bytes())
}

// queryCodes are the names that the query protocol has for errors of the front.
var queryCodes = map[string]string{
	"AccessDeniedException":               "AccessDenied",
	"UnknownOperationException":           "InvalidAction",
	"MissingAuthenticationTokenException": "MissingAuthenticationToken",
	"UnrecognizedClientException":         "InvalidClientTokenId",
	"ExpiredTokenException":               "ExpiredToken",
	"InvalidSignatureException":           "SignatureDoesNotMatch",
	"IncompleteSignatureException":        "IncompleteSignature",
}

func (s *Service) writeQueryError(w http.ResponseWriter, r *http.Request, err error) {
	e := AsError(err)
	if code, ok := queryCodes[e.Code]; ok {
		e = &Error{Code: code, Message: e.Message, Status: e.Status}
		if code != "InvalidAction" {
			e.Status = http.StatusForbidden
		}
	}
	code, status, fault := e.Code, e.Status, "Sender"
	if s.Model != nil {
		name, form := s.Model.ErrorOf(code)
		code, status = cmp.Or(form.Code, name), cmp.Or(status, form.Status)
	}
	if status = cmp.Or(status, http.StatusBadRequest); status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>`, s.Namespace, fault, code)
	_ = xml.EscapeText(&b, []byte(e.Message))
	fmt.Fprintf(&b, `</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, RequestID(r.Context()))
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// decodeForm fills a struct, list, map or scalar from the form's members under prefix.
func decodeForm(form url.Values, prefix string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !present(form, prefix) {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return decodeForm(form, prefix, v.Elem())
	case reflect.Struct:
		if v.Type() == timeType {
			t, err := time.Parse(time.RFC3339Nano, form.Get(prefix))
			if err != nil {
				return Errorf("MalformedInput", "%s: %v", prefix, err)
			}
			v.Set(reflect.ValueOf(t))
			return nil
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || f.Type == metadataType || !present(form, join(prefix, f.Name)) {
				continue
			}
			if err := decodeForm(form, join(prefix, f.Name), v.Field(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Slice:
		return decodeFormList(form, prefix, v)
	case reflect.Map:
		return decodeFormMap(form, prefix, v)
	}
	return decodeScalar(prefix, form.Get(prefix), v)
}

func decodeFormList(form url.Values, prefix string, v reflect.Value) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		raw, err := base64.StdEncoding.DecodeString(form.Get(prefix))
		if err != nil {
			return Errorf("MalformedInput", "%s: %v", prefix, err)
		}
		v.SetBytes(raw)
		return nil
	}
	for n := 1; ; n++ {
		item := prefix + ".member." + strconv.Itoa(n)
		if !present(form, item) {
			item = prefix + "." + strconv.Itoa(n)
		}
		if !present(form, item) {
			break
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if err := decodeForm(form, item, e); err != nil {
			return err
		}
		v.Set(reflect.Append(v, e))
	}
	if v.IsNil() {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
	return nil
}

func decodeFormMap(form url.Values, prefix string, v reflect.Value) error {
	v.Set(reflect.MakeMap(v.Type()))
	for n := 1; ; n++ {
		item := prefix + ".entry." + strconv.Itoa(n)
		key := form.Get(item + ".key")
		if !present(form, item+".key") {
			key = form.Get(item + ".Name")
		}
		value := item + ".value"
		if !present(form, value) {
			value = item + ".Value"
		}
		if key == "" {
			return nil
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if err := decodeForm(form, value, e); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
	}
}

func decodeScalar(name, text string, v reflect.Value) error {
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		var x bool
		x, err = strconv.ParseBool(text)
		v.SetBool(x)
	case reflect.Int, reflect.Int32, reflect.Int64:
		var x int64
		x, err = strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(x)
	case reflect.Float32, reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(text, v.Type().Bits())
		v.SetFloat(x)
	default:
		return fmt.Errorf("decode form: unsupported kind %s of %s", v.Kind(), name)
	}
	if err != nil {
		return Errorf("MalformedInput", "%s: %v", name, err)
	}
	return nil
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func present(form url.Values, prefix string) bool {
	if _, ok := form[prefix]; ok {
		return true
	}
	for k := range form {
		if strings.HasPrefix(k, prefix+".") {
			return true
		}
	}
	return false
}

// encodeXML writes the members of a struct as the query protocol does.
func encodeXML(b *bytes.Buffer, v reflect.Value) error {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == timeType {
			b.WriteString(v.Interface().(time.Time).UTC().Format("2006-01-02T15:04:05.000Z"))
			return nil
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || f.Type == metadataType || omitted(v.Field(i)) {
				continue
			}
			if err := element(b, f.Name, v.Field(i)); err != nil {
				return err
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b.WriteString(base64.StdEncoding.EncodeToString(v.Bytes()))
			return nil
		}
		for i := range v.Len() {
			if err := element(b, "member", v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		for _, k := range keys {
			b.WriteString("<entry>")
			if err := element(b, "key", k); err != nil {
				return err
			}
			if err := element(b, "value", v.MapIndex(k)); err != nil {
				return err
			}
			b.WriteString("</entry>")
		}
	case reflect.String:
		return xml.EscapeText(b, []byte(v.String()))
	default:
		fmt.Fprint(b, v.Interface())
	}
	return nil
}

func element(b *bytes.Buffer, name string, v reflect.Value) error {
	b.WriteString("<" + name + ">")
	if err := encodeXML(b, v); err != nil {
		return err
	}
	b.WriteString("</" + name + ">")
	return nil
}
