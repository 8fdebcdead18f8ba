package orch

import (
	"context"

	"github.com/orch-project/orch/pkg/engine"
)

type requestKey struct{}

// WithRequestKey gives a request a key of its own, by which it is known when it is made again because nobody knows what became of it: the
// process that was asked has died. Apply then returns the task that came of it, whatever its status, and begins nothing.
func WithRequestKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, requestKey{}, key)
}

// RequestKey of a request; "" for none.
func RequestKey(ctx context.Context) string {
	key, _ := ctx.Value(requestKey{}).(string)
	return key
}

// cameOf finds the task that came of the request with the context's key.
func (l *Local) cameOf(ctx context.Context, deployment string) (*Task, error) {
	key := RequestKey(ctx)
	if key == "" || deployment == "" {
		return nil, nil
	}
	tasks, err := engine.Tasks(ctx, l.store, deployment)
	if err != nil {
		return nil, storeError(err)
	}
	for _, t := range tasks {
		if t.Key == key {
			same := l.task(t)
			return &same, nil
		}
	}
	return nil, nil
}
