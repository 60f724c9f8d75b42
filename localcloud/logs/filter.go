package logs

import "strings"

// parseFilter reads a filter pattern of terms: all plain terms and quoted
// phrases must occur, at least one of those marked ?, none of those marked -.
func parseFilter(text string) (func(message string) bool, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		return parseJSONFilter(text)
	}
	if text != "" && strings.ContainsRune("[%", rune(text[0])) {
		return nil, invalid("the local cloud does not support space-delimited and regular-expression filter patterns: %s", text)
	}
	var all, anyOf, none []string
	for text != "" {
		mark := text[0]
		if mark == '?' || mark == '-' {
			text = text[1:]
		}
		var term string
		if strings.HasPrefix(text, `"`) {
			end := strings.IndexByte(text[1:], '"')
			if end < 0 {
				return nil, invalid("Invalid filter pattern: a quoted phrase has no end")
			}
			term, text = text[1:end+1], text[end+2:]
		} else {
			end := strings.IndexAny(text, " \t")
			if end < 0 {
				end = len(text)
			}
			term, text = text[:end], text[end:]
			if term == "" || strings.ContainsAny(term, `"%{}[]()`) {
				return nil, invalid("Invalid filter pattern: %q must be quoted", term)
			}
		}
		text = strings.TrimLeft(text, " \t")
		switch mark {
		case '?':
			anyOf = append(anyOf, term)
		case '-':
			none = append(none, term)
		default:
			all = append(all, term)
		}
	}
	return func(message string) bool {
		for _, t := range all {
			if !strings.Contains(message, t) {
				return false
			}
		}
		for _, t := range none {
			if strings.Contains(message, t) {
				return false
			}
		}
		for _, t := range anyOf {
			if strings.Contains(message, t) {
				return true
			}
		}
		return len(anyOf) == 0
	}, nil
}
