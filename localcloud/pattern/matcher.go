package pattern

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// matcher is one alternative of a field.
type matcher interface{ match(v *value) bool }

// absence is {"exists": false}; the search handles it.
type absence struct{}

func (absence) match(*value) bool { return false }

// presence is {"exists": true}: any leaf.
type presence struct{}

func (presence) match(*value) bool { return true }

// exactText matches a string, or a word (true, false, null) by its text.
type exactText struct {
	kind kind
	text string
}

func (m exactText) match(v *value) bool { return v.kind == m.kind && v.text == m.text }

// exactNumber matches by value, or by text where a float cannot tell.
type exactNumber struct {
	number float64
	text   string
}

func (m exactNumber) match(v *value) bool {
	return v.kind == kindNumber && (v.number == m.number || v.text == m.text)
}

type prefix struct{ text string }

func (m prefix) match(v *value) bool {
	return v.kind == kindString && strings.HasPrefix(v.text, m.text)
}

type suffix struct{ text string }

func (m suffix) match(v *value) bool {
	return v.kind == kindString && strings.HasSuffix(v.text, m.text)
}

// wildcard is literal pieces with a * between each two.
type wildcard struct{ pieces []string }

func (m wildcard) match(v *value) bool {
	if v.kind != kindString {
		return false
	}
	text, last := v.text, len(m.pieces)-1
	if last == 0 {
		return text == m.pieces[0]
	}
	if !strings.HasPrefix(text, m.pieces[0]) {
		return false
	}
	text = text[len(m.pieces[0]):]
	for _, piece := range m.pieces[1:last] {
		i := strings.Index(text, piece)
		if i < 0 {
			return false
		}
		text = text[i+len(piece):]
	}
	return strings.HasSuffix(text, m.pieces[last])
}

// parseWildcard splits at unescaped stars; \* and \\ are literal.
func parseWildcard(text string) (wildcard, error) {
	var m wildcard
	var piece strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '*':
			if i+1 < len(text) && text[i+1] == '*' {
				return m, fmt.Errorf("Consecutive wildcard characters at pos %d", i+1) //nolint:staticcheck // AWS's wording
			}
			m.pieces = append(m.pieces, piece.String())
			piece.Reset()
		case '\\':
			if i+1 >= len(text) || text[i+1] != '*' && text[i+1] != '\\' {
				return m, fmt.Errorf("Invalid escape character at pos %d", i+1) //nolint:staticcheck // AWS's wording
			}
			i++
			piece.WriteByte(text[i])
		default:
			piece.WriteByte(text[i])
		}
	}
	m.pieces = append(m.pieces, piece.String())
	return m, nil
}

// numericRange is {"numeric": […]}: bounds that are nil are open-ended.
type numericRange struct {
	low, high         *float64
	openLow, openHigh bool
}

func (m numericRange) match(v *value) bool {
	if v.kind != kindNumber || math.IsNaN(v.number) {
		return false
	}
	if m.low != nil && (v.number < *m.low || m.openLow && v.number == *m.low) {
		return false
	}
	return m.high == nil || v.number < *m.high || !m.openHigh && v.number == *m.high
}

// anythingBut matches any value that none of the matchers matches.
type anythingBut struct{ not []matcher }

func (m anythingBut) match(v *value) bool { return !matchAny(m.not, v) }

// cidr matches a string that is an IP address in the block.
type cidr struct{ block netip.Prefix }

func (m cidr) match(v *value) bool {
	if v.kind != kindString {
		return false
	}
	a, ok := parseIP(v.text)
	return ok && m.block.Contains(a)
}

// exactIP matches an address however it is written (IPv6 has many spellings).
type exactIP struct{ address netip.Addr }

func (m exactIP) match(v *value) bool {
	if v.kind != kindString {
		return false
	}
	a, ok := parseIP(v.text)
	return ok && a == m.address
}

var (
	ipv4Form = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$`)
	ipv6Form = regexp.MustCompile(`^[0-9a-fA-F:]*:[0-9a-fA-F:]*$`)
)

// parseIP reads an address as AWS's (Java's) reader does: leading zeros are
// decimal, and an IPv4 address in IPv6 is that IPv4 address.
func parseIP(text string) (netip.Addr, bool) {
	if ipv4Form.MatchString(text) {
		var a [4]byte
		for i, part := range strings.Split(text, ".") {
			n, err := strconv.ParseUint(part, 10, 8)
			if err != nil {
				return netip.Addr{}, false
			}
			a[i] = byte(n)
		}
		return netip.AddrFrom4(a), true
	}
	if !ipv6Form.MatchString(text) {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap(), err == nil
}

func parseCIDR(text string) (cidr, error) {
	parts := strings.Split(text, "/")
	for len(parts) > 1 && parts[len(parts)-1] == "" { // as Java splits
		parts = parts[:len(parts)-1]
	}
	if len(parts) != 2 {
		return cidr{}, fmt.Errorf("Malformed CIDR, one '/' required") //nolint:staticcheck // AWS's wording
	}
	ip := parts[0]
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		return cidr{}, fmt.Errorf("Malformed CIDR, mask bits must be an integer") //nolint:staticcheck // AWS's wording
	}
	if n < 0 {
		return cidr{}, fmt.Errorf("Malformed CIDR, mask bits must not be negative") //nolint:staticcheck // AWS's wording
	}
	a, ok := parseIP(ip)
	if !ok {
		if ipv4Form.MatchString(ip) || ipv6Form.MatchString(ip) {
			return cidr{}, fmt.Errorf("Invalid IP address: %s", ip) //nolint:staticcheck // AWS's wording
		}
		return cidr{}, fmt.Errorf("Nonstandard IP address: %s", ip) //nolint:staticcheck // AWS's wording
	}
	if n >= a.BitLen() {
		return cidr{}, fmt.Errorf("IPv%d mask bits must be < %d", map[int]int{32: 4, 128: 6}[a.BitLen()], a.BitLen()) //nolint:staticcheck // AWS's wording
	}
	return cidr{block: netip.PrefixFrom(a, n).Masked()}, nil
}
