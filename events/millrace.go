package events

// SourceMillrace is the source of Millrace's own events, which the state
// machine and newdata publish.
const SourceMillrace = "millrace"

// PublishedPattern matches every event that Millrace publishes.
func PublishedPattern() Pattern {
	return Pattern{"source": []any{SourceMillrace}}
}
