package gbdt

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// noParent marks the root in XGBoost's files.
const noParent = 2147483647

// WriteJSON writes the model in the layout of XGBoost 1.7, which later versions
// read too, except that classes which start from different margins, as only models read
// from XGBoost 3.1 or later do, need 3.1. Name the file xgboost-model or *.json. The bytes depend on the model only.
func (m *Model) WriteJSON(w io.Writer) error {
	names, err := quoteNames(m.names)
	if err != nil {
		return fmt.Errorf("write model: encode feature names: %w", err)
	}
	out := &jsonWriter{w: bufio.NewWriterSize(w, 1<<16)}
	out.text(`{"learner":{"attributes":{`)
	if m.stopped {
		out.text(`"best_iteration":"`, strconv.Itoa(m.best), `"`)
		if score, ok := m.BestScore(); ok {
			out.text(`,"best_score":"`, strconv.FormatFloat(score, 'g', -1, 64), `"`)
		}
	}
	out.text(`},"feature_names":[`, names, `],"feature_types":[],`)
	trees := strconv.Itoa(len(m.trees))
	out.text(`"gradient_booster":{"model":{"gbtree_model_param":{"num_parallel_tree":"1","num_trees":"`, trees,
		`","size_leaf_vector":"0"},"tree_info":[`)
	for i := range m.trees {
		out.comma(i)
		out.text(strconv.Itoa(i % len(m.baseScores)))
	}
	out.text(`],"trees":[`)
	for i, t := range m.trees {
		out.comma(i)
		out.tree(i, t, m.features)
	}
	classes := strconv.Itoa(m.NumClasses())
	out.text(`]},"name":"gbtree"},"learner_model_param":{"base_score":"`, numbers(m.baseScores),
		`","boost_from_average":"1","num_class":"`, classes, `","num_feature":"`, strconv.Itoa(m.features), `","num_target":"1"},`)
	out.text(`"objective":{"name":"`, m.objective, `",`)
	if m.objective == Softmax {
		out.text(`"softmax_multiclass_param":{"num_class":"`, classes, `"}}},`)
	} else {
		out.text(`"reg_loss_param":{"scale_pos_weight":"`, plain(m.scalePosWeight), `"}}},`)
	}
	out.text(`"version":[1,7,4]}`)
	if err := out.w.Flush(); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	return nil
}

// quoteNames escapes no more than JSON asks for: XGBoost does not read the escapes that
// encoding/json makes of <, > and &.
func quoteNames(names []string) (string, error) {
	var b []byte
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = jsontext.AppendQuote(b, name); err != nil {
			return "", fmt.Errorf("name %d: %w", i, err)
		}
	}
	return string(b), nil
}

// number writes a float with an exponent, always: XGBoost takes "0" for an integer
// and then refuses the array.
func number(v float32) string { return strconv.FormatFloat(float64(v), 'E', -1, 32) }

// numbers is one number if all are equal, which every version reads, else a list, which
// XGBoost reads since 3.1.
func numbers(values []float32) string {
	texts := make([]string, len(values))
	same := true
	for i, v := range values {
		texts[i] = number(v)
		same = same && v == values[0]
	}
	if same {
		return texts[0]
	}
	return "[" + strings.Join(texts, ",") + "]"
}

func plain(v float32) string { return strconv.FormatFloat(float64(v), 'g', -1, 32) }

// jsonWriter leaves errors to Flush, which reports the first.
type jsonWriter struct {
	w   *bufio.Writer
	buf []byte
}

func (o *jsonWriter) text(parts ...string) {
	for _, p := range parts {
		_, _ = o.w.WriteString(p)
	}
}

func (o *jsonWriter) comma(i int) {
	if i > 0 {
		_ = o.w.WriteByte(',')
	}
}

func (o *jsonWriter) floats(name string, values []float32) {
	o.text(`"`, name, `":[`)
	for i, v := range values {
		o.comma(i)
		switch {
		case math.IsInf(float64(v), 0): // a condition that XGBoost wrote
			o.buf = append(o.buf[:0], "-Infinity"[oneIf(v > 0):]...)
		default:
			o.buf = strconv.AppendFloat(o.buf[:0], float64(v), 'E', -1, 32)
		}
		_, _ = o.w.Write(o.buf)
	}
	o.text(`],`)
}

func (o *jsonWriter) ints(name string, n int, value func(i int) int64) {
	o.text(`"`, name, `":[`)
	for i := range n {
		o.comma(i)
		o.buf = strconv.AppendInt(o.buf[:0], value(i), 10)
		_, _ = o.w.Write(o.buf)
	}
	o.text(`],`)
}

func (o *jsonWriter) tree(id int, t *tree, features int) {
	n := t.nodes()
	of := func(values []int32) func(int) int64 { return func(i int) int64 { return int64(values[i]) } }
	o.text(`{`)
	o.floats("base_weights", t.weight)
	o.text(`"categories":[],"categories_nodes":[],"categories_segments":[],"categories_sizes":[],`)
	o.ints("default_left", n, func(i int) int64 { return int64(oneIf(t.defaultLeft[i])) })
	o.text(`"id":`, strconv.Itoa(id), `,`)
	o.ints("left_children", n, of(t.left))
	o.floats("loss_changes", t.gain)
	o.ints("parents", n, of(t.parent))
	o.ints("right_children", n, of(t.right))
	o.floats("split_conditions", t.condition)
	o.ints("split_indices", n, of(t.feature))
	o.ints("split_type", n, func(int) int64 { return 0 })
	o.floats("sum_hessian", t.cover)
	o.text(`"tree_param":{"num_deleted":"0","num_feature":"`, strconv.Itoa(features), `","num_nodes":"`,
		strconv.Itoa(n), `","size_leaf_vector":"0"}}`)
}
