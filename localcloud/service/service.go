// Package service says what all services of the local cloud are given.
package service

import (
	"log/slog"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Base is what every service needs of its surroundings.
type Base struct {
	Account, Region string
	Clock           clock.Clock
	Store           *store.Store
	Log             *slog.Logger
	Authorize       wire.Authorize // nil allows everything
}
