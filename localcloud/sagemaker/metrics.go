package sagemaker

import (
	"bytes"
	"regexp"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// maxLine bounds the part of a log line in which metrics are looked for, in bytes.
const maxLine = 64 << 10

// metricScanner finds a training job's metrics in its log: for each definition
// the last number that its regular expression captures.
type metricScanner struct {
	clock clock.Clock
	defs  []types.MetricDefinition
	exprs []*regexp.Regexp

	mu   sync.Mutex
	line []byte
	last map[string]types.MetricData
}

func newMetricScanner(c clock.Clock, defs []types.MetricDefinition) (*metricScanner, error) {
	m := &metricScanner{clock: c, defs: defs, last: map[string]types.MetricData{}}
	for _, d := range defs {
		re, err := regexp.Compile(*d.Regex)
		if err != nil {
			return nil, invalid("Invalid regular expression %q of metric %q: %v", *d.Regex, *d.Name, err)
		}
		m.exprs = append(m.exprs, re)
	}
	return m, nil
}

// Write takes the log as it comes.
func (m *metricScanner) Write(p []byte) (int, error) {
	if len(m.defs) == 0 {
		return len(p), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		if room := maxLine - len(m.line); room > 0 {
			m.line = append(m.line, part[:min(room, len(part))]...)
		}
		if whole {
			m.scan()
		}
		rest = after
	}
	return len(p), nil
}

func (m *metricScanner) scan() {
	for i, re := range m.exprs {
		found := re.FindSubmatch(m.line)
		if len(found) < 2 {
			continue
		}
		v, err := strconv.ParseFloat(string(found[1]), 32)
		if err != nil {
			continue
		}
		m.last[*m.defs[i].Name] = types.MetricData{MetricName: m.defs[i].Name, Value: aws.Float32(float32(v)), Timestamp: aws.Time(m.clock.Now().UTC())}
	}
	m.line = m.line[:0]
}

// final is what FinalMetricDataList shows, in the order of the definitions.
func (m *metricScanner) final() []types.MetricData {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.line) > 0 {
		m.scan()
	}
	var all []types.MetricData
	for _, d := range m.defs {
		if v, ok := m.last[*d.Name]; ok {
			all = append(all, v)
		}
	}
	return all
}
