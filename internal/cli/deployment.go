package cli

import (
	"context"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
)

// deployment resolves an optional name: the only deployment there is, when none is given.
func (e *environment) deployment(ctx context.Context, app *App, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	all, err := app.Deployments(ctx)
	if err != nil {
		return "", err
	}
	var names []string
	for _, d := range all {
		if d.Status != "undeployed" {
			names = append(names, d.Name)
		}
	}
	switch len(names) {
	case 0:
		return "", &orch.Error{Kind: orch.KindNotFound, Msg: "there is no deployment", Hint: "`orch deploy FILE` makes one"}
	case 1:
		return names[0], nil
	}
	return "", usage("which deployment? %s", strings.Join(names, ", "))
}

// openWithDeployment opens the service and resolves the optional deployment argument.
func (e *environment) openWithDeployment(ctx context.Context, args []string) (*App, string, error) {
	app, err := e.open(ctx)
	if err != nil {
		return nil, "", err
	}
	name, err := e.deployment(ctx, app, args)
	return app, name, err
}

// isDeployment reports whether a deployment of that name is known.
func isDeployment(ctx context.Context, app *App, name string) bool {
	all, err := app.Deployments(ctx)
	if err != nil {
		return false
	}
	for _, d := range all {
		if d.Name == name {
			return true
		}
	}
	return false
}
