package gbdt

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/shared/hyperparameters"
)

const (
	// maxModelBytes bounds the file that ReadJSON takes.
	maxModelBytes = 1 << 30
	// maxModelFeatures bounds the work that a few bytes of a file can ask for.
	maxModelFeatures = 1 << 24
)

// The parts of XGBoost's layout that are read. Numbers in strings are XGBoost's way.
type modelFile struct {
	Learner *learnerFile `json:"learner"`
	Version []int        `json:"version"`
}

type learnerFile struct {
	Attributes   map[string]string `json:"attributes"`
	FeatureNames []string          `json:"feature_names"`
	Booster      struct {
		Name  string `json:"name"`
		Model struct {
			Param struct {
				NumTrees        looseInt `json:"num_trees"`
				NumParallelTree looseInt `json:"num_parallel_tree"`
			} `json:"gbtree_model_param"`
			IterationStarts []int    `json:"iteration_indptr"`
			TreeInfo        []int    `json:"tree_info"`
			Trees           treeList `json:"trees"`
		} `json:"model"`
	} `json:"gradient_booster"`
	Param struct {
		BaseScore  json.RawMessage `json:"base_score"`
		NumClass   looseInt        `json:"num_class"`
		NumFeature looseInt        `json:"num_feature"`
		NumTarget  looseInt        `json:"num_target"`
	} `json:"learner_model_param"`
	Objective struct {
		Name string `json:"name"`
		Loss struct {
			ScalePosWeight string `json:"scale_pos_weight"`
		} `json:"reg_loss_param"`
		Softmax struct {
			NumClass looseInt `json:"num_class"`
		} `json:"softmax_multiclass_param"`
	} `json:"objective"`
}

type treeFile struct {
	BaseWeights     floats     `json:"base_weights"`
	Categories      []int      `json:"categories"`
	DefaultLeft     []looseInt `json:"default_left"`
	LeftChildren    []int32    `json:"left_children"`
	LossChanges     floats     `json:"loss_changes"`
	RightChildren   []int32    `json:"right_children"`
	SplitConditions floats     `json:"split_conditions"`
	SplitIndices    []int32    `json:"split_indices"`
	SplitType       []int32    `json:"split_type"`
	SumHessian      floats     `json:"sum_hessian"`
	Param           struct {
		NumDeleted     looseInt `json:"num_deleted"`
		NumNodes       looseInt `json:"num_nodes"`
		SizeLeafVector looseInt `json:"size_leaf_vector"`
	} `json:"tree_param"`
}

// looseInt is an integer written as a number, a string or a boolean.
type looseInt int64

func (v *looseInt) UnmarshalJSON(text []byte) error {
	s := string(text)
	switch s {
	case "null", "false":
		*v = 0
		return nil
	case "true":
		*v = 1
		return nil
	}
	n, err := strconv.ParseInt(strings.Trim(s, `"`), 10, 64)
	if err != nil {
		return fmt.Errorf("%.40s is not an integer", s)
	}
	*v = looseInt(n)
	return nil
}

// ReadJSON reads a model in XGBoost's JSON layout, as written by WriteJSON or by
// XGBoost 1.x to 3.x: gbtree with one of our objectives and no categorical splits.
// Anything else is refused, and everything the model needs is checked.
func ReadJSON(r io.Reader) (*Model, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxModelBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	m, err := parseModel(data)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	return m, nil
}

// ReadModel reads a model in XGBoost's JSON or UBJSON layout, told apart by content,
// with the checks of ReadJSON.
func ReadModel(r io.Reader) (*Model, error) {
	buffered := bufio.NewReader(r)
	// After the brace, JSON has a quote, a brace or space; UBJSON a length or a type.
	if head, _ := buffered.Peek(2); len(head) == 2 && head[0] == '{' && !bytes.ContainsAny(head[1:], "\" \t\r\n}") {
		return ReadUBJSON(buffered)
	}
	return ReadJSON(buffered)
}

func parseModel(data []byte) (*Model, error) {
	switch {
	case len(data) > maxModelBytes:
		return nil, fmt.Errorf("file is larger than %d bytes", maxModelBytes)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("file is empty")
	case bytes.HasPrefix(data, []byte("binf")):
		return nil, errors.New("file is in XGBoost's old binary format: save it with a name ending in .json or .ubj")
	case data[0] == 0x80:
		return nil, errors.New("file is a Python pickle: save the model with a name ending in .json or .ubj")
	}
	var file modelFile
	if err := json.Unmarshal(quoteOddNumbers(data), &file); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	l := file.Learner
	if l == nil {
		return nil, errors.New("no learner: this is not an XGBoost model")
	}
	if err := l.supported(); err != nil {
		return nil, err
	}
	m := &Model{
		objective: l.Objective.Name, features: int(l.Param.NumFeature), names: l.FeatureNames,
		scalePosWeight: 1, trees: l.Booster.Model.Trees,
	}
	if len(m.names) == 0 {
		m.names = nil
	}
	if s := l.Objective.Loss.ScalePosWeight; s != "" {
		w, err := strconv.ParseFloat(s, 32)
		if err != nil || !(math.Abs(w) <= math.MaxFloat32) {
			return nil, fmt.Errorf("scale_pos_weight %.40q is not a number", s)
		}
		m.scalePosWeight = float32(w)
	}
	base, err := parseBaseScores(l.Param.BaseScore, m.objective, l.outputs(), file.Version)
	if err != nil {
		return nil, err
	}
	m.baseScores = base
	for i, t := range m.trees {
		if err := t.fits(m.features); err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
	}
	if err := m.readAttributes(l.Attributes); err != nil {
		return nil, err
	}
	m.compile()
	return m, nil
}

// supported refuses what the trees alone cannot express.
func (l *learnerFile) supported() error {
	b := &l.Booster
	switch {
	case b.Name != "gbtree":
		return fmt.Errorf("booster %.40q is not supported, only gbtree is", b.Name)
	case hyperparameters.Metrics[l.Objective.Name] == "":
		return fmt.Errorf("objective %.40q is not supported, only %s, %s and %s are", l.Objective.Name, Logistic, SquaredError, Softmax)
	case l.Objective.Name != Softmax && (l.Param.NumClass < 0 || l.Param.NumClass > 1):
		return fmt.Errorf("%d classes are not supported with %s", l.Param.NumClass, l.Objective.Name)
	case l.Objective.Name == Softmax && (l.Param.NumClass < 2 || l.Param.NumClass > hyperparameters.MaxClasses):
		return fmt.Errorf("%d classes are not supported, only 2 to %d are", l.Param.NumClass, hyperparameters.MaxClasses)
	case l.Objective.Name == Softmax && l.Objective.Softmax.NumClass != l.Param.NumClass:
		return fmt.Errorf("the objective has %d classes, num_class is %d", l.Objective.Softmax.NumClass, l.Param.NumClass)
	case l.Param.NumTarget < 0 || l.Param.NumTarget > 1:
		return fmt.Errorf("%d targets are not supported", l.Param.NumTarget)
	case l.Param.NumFeature < 1 || l.Param.NumFeature > maxModelFeatures:
		return fmt.Errorf("num_feature is %d, must be 1 to %d", l.Param.NumFeature, maxModelFeatures)
	case len(l.FeatureNames) != 0 && len(l.FeatureNames) != int(l.Param.NumFeature):
		return fmt.Errorf("%d feature names for %d features", len(l.FeatureNames), l.Param.NumFeature)
	case b.Model.Param.NumParallelTree < 0 || b.Model.Param.NumParallelTree > 1:
		return fmt.Errorf("num_parallel_tree %d is not supported", b.Model.Param.NumParallelTree)
	case int(b.Model.Param.NumTrees) != len(b.Model.Trees):
		return fmt.Errorf("num_trees is %d, but there are %d trees", b.Model.Param.NumTrees, len(b.Model.Trees))
	case len(b.Model.TreeInfo) != len(b.Model.Trees):
		return fmt.Errorf("tree_info has %d entries for %d trees", len(b.Model.TreeInfo), len(b.Model.Trees))
	}
	return l.rounds()
}

// outputs is the number of trees in a round.
func (l *learnerFile) outputs() int {
	if l.Objective.Name == Softmax {
		return int(l.Param.NumClass)
	}
	return 1
}

// rounds checks that every round has one tree for every output, in order.
func (l *learnerFile) rounds() error {
	m, outputs := &l.Booster.Model, l.outputs()
	for i, class := range m.TreeInfo {
		if class != i%outputs {
			return fmt.Errorf("tree %d is for class %d, want %d", i, class, i%outputs)
		}
	}
	if len(m.Trees)%outputs != 0 {
		return fmt.Errorf("%d trees cannot be shared out over %d classes", len(m.Trees), outputs)
	}
	if len(m.IterationStarts) > 0 && len(m.IterationStarts) != len(m.Trees)/outputs+1 {
		return fmt.Errorf("iteration_indptr has %d entries for %d rounds", len(m.IterationStarts), len(m.Trees)/outputs)
	}
	for i, start := range m.IterationStarts {
		if start != i*outputs {
			return fmt.Errorf("round %d begins with tree %d, want %d", i, start, i*outputs)
		}
	}
	return nil
}

// parseBaseScores takes "2.4E-1", XGBoost 3.1's "[2.4E-1]", and both without quotes: one
// for every output, or one for all.
func parseBaseScores(raw json.RawMessage, objective string, outputs int, version []int) ([]float32, error) {
	s := strings.Trim(string(raw), `"`)
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	n := strings.Count(s, ",") + 1
	if n != 1 && n != outputs {
		return nil, fmt.Errorf("base_score has %d numbers, want one for every output (%d) or one for all", n, outputs)
	}
	scores := make([]float32, 0, outputs)
	for text := range strings.SplitSeq(s, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 32)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("base_score %.60s is not a number", raw)
		}
		score := float32(v)
		if objective == Logistic {
			if score, err = nearestBase(score, version); err != nil {
				return nil, err
			}
		}
		scores = append(scores, score)
	}
	for len(scores) < outputs {
		scores = append(scores, scores[0])
	}
	return scores, nil
}

func (m *Model) readAttributes(attributes map[string]string) error {
	text, ok := attributes["best_iteration"]
	if !ok {
		return nil
	}
	best, err := strconv.Atoi(text)
	if best == -1 && len(m.trees) == 0 {
		return nil // so XGBoost 1.7
	}
	if rounds := len(m.trees) / len(m.baseScores); err != nil || best < 0 || best >= rounds {
		return fmt.Errorf("best_iteration %.40q is not one of %d rounds", text, rounds)
	}
	score := math.NaN() // XGBoost 1.7 writes best_iteration alone
	if text, ok := attributes["best_score"]; ok {
		if score, err = strconv.ParseFloat(text, 64); err != nil || math.IsNaN(score) || math.IsInf(score, 0) {
			return fmt.Errorf("best_score %.40q is not a number", text)
		}
	}
	m.stopped, m.best, m.bestScore = true, best, score
	return nil
}

// tree checks the arrays and copies the nodes that can be reached, in breadth-first
// order; XGBoost leaves pruned nodes in its files.
func (f *treeFile) tree() (*tree, error) {
	n, err := f.checkArrays()
	if err != nil {
		return nil, err
	}
	t := &tree{}
	type step struct{ from, parent int32 }
	seen := make([]bool, n)
	queue := []step{{0, noParent}}
	seen[0] = true
	for i := 0; i < len(queue); i++ {
		from := queue[i].from
		node := t.add(queue[i].parent, f.SumHessian[from], f.BaseWeights[from])
		t.condition[node] = f.SplitConditions[from]
		left, right := f.LeftChildren[from], f.RightChildren[from]
		if left == -1 && right == -1 {
			if v := t.condition[node]; v-v != 0 {
				return nil, fmt.Errorf("node %d: the leaf's value is %v", from, v)
			}
			continue
		}
		for _, child := range []int32{left, right} {
			if child < 0 || int(child) >= n {
				return nil, fmt.Errorf("node %d: child %d is not one of %d nodes", from, child, n)
			}
			if seen[child] {
				return nil, fmt.Errorf("node %d: child %d has two parents or is the root", from, child)
			}
			seen[child] = true
			queue = append(queue, step{child, node})
		}
		if f.SplitIndices[from] < 0 {
			return nil, fmt.Errorf("node %d: feature %d is below 0", from, f.SplitIndices[from])
		}
		if len(f.SplitType) > 0 && f.SplitType[from] != 0 {
			return nil, fmt.Errorf("node %d: categorical splits are not supported", from)
		}
		// A condition may be infinite: XGBoost puts it beyond values near the largest float32.
		if v := t.condition[node]; v != v {
			return nil, fmt.Errorf("node %d: the condition is not a number", from)
		}
		// The queue is in order: the children are the next two numbers given out.
		t.left[node], t.right[node] = int32(len(queue)-2), int32(len(queue)-1)
		t.feature[node] = f.SplitIndices[from]
		t.defaultLeft[node] = f.DefaultLeft[from] != 0
		t.gain[node] = f.LossChanges[from]
	}
	if lost := n - len(queue); lost != int(f.Param.NumDeleted) {
		return nil, fmt.Errorf("%d nodes cannot be reached, num_deleted is %d", lost, f.Param.NumDeleted)
	}
	return t, nil
}

func (f *treeFile) checkArrays() (int, error) {
	n := len(f.LeftChildren)
	if n == 0 {
		return 0, errors.New("no nodes")
	}
	if int(f.Param.NumNodes) != n {
		return 0, fmt.Errorf("num_nodes is %d, left_children has %d", f.Param.NumNodes, n)
	}
	if f.Param.SizeLeafVector < 0 || f.Param.SizeLeafVector > 1 {
		return 0, fmt.Errorf("size_leaf_vector %d is not supported", f.Param.SizeLeafVector)
	}
	if len(f.Categories) > 0 {
		return 0, errors.New("categorical splits are not supported")
	}
	if len(f.SplitType) != 0 && len(f.SplitType) != n {
		return 0, fmt.Errorf("split_type has %d entries for %d nodes", len(f.SplitType), n)
	}
	for _, a := range []struct {
		name string
		n    int
	}{
		{"right_children", len(f.RightChildren)}, {"split_indices", len(f.SplitIndices)},
		{"split_conditions", len(f.SplitConditions)}, {"default_left", len(f.DefaultLeft)},
		{"base_weights", len(f.BaseWeights)}, {"loss_changes", len(f.LossChanges)},
		{"sum_hessian", len(f.SumHessian)},
	} {
		if a.n != n {
			return 0, fmt.Errorf("%s has %d entries for %d nodes", a.name, a.n, n)
		}
	}
	if !f.BaseWeights.finite() || !f.LossChanges.finite() || !f.SumHessian.finite() {
		return 0, errors.New("base_weights, loss_changes or sum_hessian are infinite or not a number")
	}
	return n, nil
}
