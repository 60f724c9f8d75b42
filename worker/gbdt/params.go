package gbdt

import "github.com/millrace-ml/millrace/shared/hyperparameters"

// Params are the training parameters, by XGBoost's meaning of them. Start from
// hyperparameters.Default: the zero value is refused by Train.
type Params = hyperparameters.Params

// Objectives.
const (
	Logistic     = hyperparameters.Logistic
	SquaredError = hyperparameters.SquaredError
	Softmax      = hyperparameters.Softmax
)
