package prepare

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"strconv"

	"github.com/millrace-ml/millrace/worker/inorder"
	"github.com/millrace-ml/millrace/worker/quality"
)

// chunkBytes is how many bytes of sorted rows are worked on at a time.
const chunkBytes = 1 << 20

// chunk is consecutive rows that count, in their order.
type chunk struct {
	first   int // row
	data    []byte
	ends    []int // of each row's key and value
	rows    []row
	in      []int    // part of each row
	results []result // of what was asked
	out     [4][]byte
}

// result is what is computed of a row for a survey.
type result struct{ row, key uint64 }

// walk gives the rows that count, in their order, to work (several chunks at
// once) and then to fold (one after the other). skipped counts the rows outside
// the window.
func (r *rows) walk(ctx context.Context, work, fold func(*chunk) error) (skipped int, err error) {
	stream, err := r.sorted(ctx, sortedRows)
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	l, next := layout{r.def.Data.Time != "", r.def.Data.Weight != "", len(r.plan.Names)}, 0
	fill := func(c *chunk) error {
		c.first, c.data, c.ends = next, c.data[:0], c.ends[:0]
		for len(c.data) < chunkBytes {
			key, value, err := stream.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			switch {
			case l.timed && !(timeOf(key) > r.oldest):
				skipped++
				continue
			case math.IsNaN(labelIn(value)):
				continue
			}
			c.data = append(c.data, key...)
			c.ends = append(c.ends, len(c.data))
			c.data = append(c.data, value...)
			c.ends = append(c.ends, len(c.data))
			next++
		}
		if len(c.ends) == 0 {
			return io.EOF
		}
		return nil
	}
	err = inorder.Do(ctx, func() *chunk { return &chunk{} }, fill, func(c *chunk) error {
		if err := c.decode(l); err != nil {
			return err
		}
		c.in = c.in[:0]
		for i := range c.rows {
			c.in = append(c.in, r.partOf(c.first+i, &c.rows[i]))
		}
		return work(c)
	}, fold)
	return skipped, err
}

func labelIn(value []byte) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(value))
}

func (c *chunk) decode(l layout) error {
	n := len(c.ends) / 2
	for len(c.rows) < n {
		c.rows = append(c.rows, row{})
	}
	c.rows = c.rows[:n]
	from := 0
	for i := range c.rows {
		key, value := c.data[from:c.ends[2*i]], c.data[c.ends[2*i]:c.ends[2*i+1]]
		if err := c.rows[i].decode(key, value, l); err != nil {
			return err
		}
		from = c.ends[2*i+1]
	}
	return nil
}

// arrange counts the rows that count, and what the window leaves out.
func (r *rows) arrange(ctx context.Context) error {
	d := r.def.Data
	newest, labelled, timeless := math.Inf(-1), 0, 0
	for _, c := range r.checked {
		newest, labelled, timeless = max(newest, c.Newest), labelled+c.Labelled, timeless+c.Timeless.Count
	}
	r.oldest, r.count = math.Inf(-1), labelled
	if d.Window > 0 && d.Time != "" {
		r.oldest = newest - d.Window.Seconds()
	}
	if timeless > 0 || d.Window > 0 {
		r.count = 0
		outside, err := r.walk(ctx, func(*chunk) error { return nil }, func(c *chunk) error {
			r.count += len(c.rows)
			return nil
		})
		if err != nil {
			return err
		}
		if outside > 0 {
			r.warn("window", d.Time, fmt.Sprintf("%d rows are older than the window of %v before the newest row and are left out", outside, d.Window))
		}
	}
	if r.count == 0 || r.count < d.MinimumRows {
		message := fmt.Sprintf("there are %d rows to learn from, and at least %d are needed", r.count, max(1, d.MinimumRows))
		if left := r.report.Rows - r.count; left > 0 {
			message += fmt.Sprintf("; %d of the %d uploaded are left out, see the warnings", left, r.report.Rows)
		}
		r.stop("rows", "", message)
		return nil
	}
	s := r.def.Split
	switch s.By {
	case "time":
		if d.Time == "" {
			return fmt.Errorf("check definition: split by time needs data.time")
		}
	case "random":
	default:
		return fmt.Errorf("check definition: split by %q is neither time nor random", s.By)
	}
	return nil
}

// partOf is the part that a row belongs to; at is its place in the order.
func (r *rows) partOf(at int, row *row) int {
	s := r.def.Split
	if s.By == "time" {
		test := int(math.Round(s.Test * float64(r.count)))
		validation := int(math.Round(s.Validation * float64(r.count)))
		train := max(0, r.count-test-validation)
		switch {
		case at < train:
			return 0
		case at < train+validation:
			return 1
		}
		return 2
	}
	switch u := Chance(s.Seed, row.key); {
	case u < s.Test:
		return 2
	case u < s.Test+s.Validation:
		return 1
	}
	return 0
}

// part is what is noted of a part's rows.
type part struct {
	rows        int
	sum         float64 // of labels
	label       float64 // of the first row
	varies      bool    // labels do, in the digits that training has
	least, most float64 // labels
	rounded     float64 // the most that a label is moved by having no more digits
	weighed     weighed
	from, to    float64 // times
	classes     []int   // rows of each, when there are several
}

func (p *part) add(row *row) {
	if p.rows == 0 {
		p.label, p.least, p.most, p.from, p.to = row.label, row.label, row.label, math.Inf(1), math.Inf(-1)
	}
	p.rows++
	p.sum += row.label
	p.varies = p.varies || float32(row.label) != float32(p.label)
	p.least, p.most = min(p.least, row.label), max(p.most, row.label)
	p.rounded = max(p.rounded, math.Abs(float64(float32(row.label))-row.label))
	p.weighed.add(row)
	p.from, p.to = min(p.from, row.time), max(p.to, row.time)
	if p.classes != nil {
		p.classes[int(row.label)]++
	}
}

// weighed is what is noted of a part's rows whose weight is not 0.
type weighed struct {
	rows         int
	label        float64 // of the first
	varies       bool    // labels do
	sum, squares float64 // of weights
}

func (w *weighed) add(row *row) {
	if row.weight == 0 {
		return
	}
	if w.rows == 0 {
		w.label = row.label
	}
	w.rows++
	w.varies = w.varies || float32(row.label) != float32(w.label)
	w.sum += row.weight
	w.squares += float64(row.weight * row.weight)
}

// effective is how many rows of one weight say as much (Kish).
func (w *weighed) effective() float64 { return w.sum * w.sum / w.squares }

// note tells of a part in the report, and whether it can be used.
func (r *rows) note(name string, p *part) {
	note := quality.Part{Name: name, Rows: p.rows}
	defer func() { r.report.Parts = append(r.report.Parts, note) }()
	if p.rows == 0 {
		r.stop("rows", "", fmt.Sprintf("of %d rows none is left for the %s part", r.count, name))
		return
	}
	note.Label, note.Classes = p.sum/float64(p.rows), p.classes
	if r.def.Data.Time != "" {
		note.From, note.To = quality.Instant(p.from), quality.Instant(p.to)
	}
	r.unseen(name, p)
	r.digits(name, p)
	switch w := &p.weighed; {
	case !p.varies && p.least < p.most: // r.digits has told
	case !p.varies:
		r.stop("label", r.def.Data.Label.Name, fmt.Sprintf("the label is %s in all %d rows of the %s part: nothing can be learned or judged by it", r.labelText(p.label), p.rows, name))
	case r.def.Data.Weight == "" || name == partNames[2]: // the test counts all rows alike
	case w.rows == 0:
		r.stop("weight", "", fmt.Sprintf("the weight is 0 in all %d rows of the %s part", p.rows, name))
	case !w.varies && name == partNames[0]:
		r.stop("weight", "", fmt.Sprintf("the label is %s in all %d rows of the %s part whose weight is not 0: nothing can be learned", r.labelText(w.label), w.rows, name))
	default:
		note.Effective = w.effective()
	}
}

// fewSteps is how many steps the labels of a part must have at least, from the least to the
// most, for what lies between them not to matter.
const fewSteps = 1000

// digits tells of labels that lie so near to each other, and so far from 0, that the seven
// digits which training has of them do not tell them apart.
func (r *rows) digits(name string, p *part) {
	if reach := p.most - p.least; reach == 0 || 2*p.rounded*fewSteps <= reach {
		return
	}
	largest := float32(max(math.Abs(p.least), math.Abs(p.most)))
	step := math.Nextafter32(largest, math.MaxFloat32) - largest
	message := fmt.Sprintf("the labels of the %s part lie between %.12g and %.12g, where a model tells apart no less than %.3g (hint: subtract in the label's expression what they have in common, or take another unit)", name, p.least, p.most, step)
	if !p.varies {
		r.stop("label", r.def.Data.Label.Name, message)
	} else {
		r.warn("label", r.def.Data.Label.Name, message)
	}
}

// labelText is a label as the definition names it.
func (r *rows) labelText(label float64) string {
	if classes := r.def.Data.Label.Classes; len(classes) > 0 {
		return classes[int(label)]
	}
	return strconv.FormatFloat(label, 'g', -1, 64)
}

// unseen warns of classes that no training row has: nothing can be learned of them.
func (r *rows) unseen(name string, p *part) {
	classes := r.def.Data.Label.Classes
	if name != partNames[0] {
		return
	}
	for i, class := range classes {
		if p.classes[i] == 0 {
			r.warn("label", r.def.Data.Label.Name, fmt.Sprintf("no row of the training part has the class %s: the model cannot learn it", class))
		}
	}
}

// Chance is a number in [0, 1) that depends on the seed and the key alone, so
// that a row stays in its part however many rows there are and in what order.
func Chance(seed int64, key string) float64 {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(seed))
	h.Write(b[:])
	h.Write([]byte(key))
	return float64(mix(h.Sum64())>>11) / (1 << 53)
}
