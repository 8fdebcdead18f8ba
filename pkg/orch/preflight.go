package orch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// preflight finds what would fail later, all at once: missing files and secrets, and whatever the drivers find out about the whole topology.
func (l *Local) preflight(ctx context.Context, p *prepared) {
	l.checkFiles(p)
	l.checkSecrets(ctx, p)
	env := l.env(p, p.inputs)
	p.checkPolicies(ctx, env)
	wanted := plan.Wanted(plan.Input{Topology: p.topology, Inputs: p.inputs, Recorded: p.snapshot.Recorded(), Scale: p.scale()})
	var infra, remote, local []*driver.Request
	for _, n := range p.topology.Nodes {
		for _, i := range wanted[n.Name] {
			req := driver.Request{Deployment: p.name, Location: p.location, Topology: p.topology, Node: n, Instance: i, Env: env}
			if n.Native {
				r := req
				r.Action = driver.Create
				infra = append(infra, &r)
			}
			host := plan.ServerOf(p.topology, n, i)
			for _, face := range n.Interfaces {
				for _, op := range face.Operations {
					if op.Implementation == nil && op.Call == "" {
						continue
					}
					r := req
					r.Action, r.Operation = driver.Run, op
					if host == plan.OnOrchestrator {
						local = append(local, &r)
					} else {
						remote = append(remote, &r)
					}
				}
			}
		}
	}
	for _, f := range topology.OwnFunctions(p.topology) {
		for _, s := range f.Signatures {
			if s.Runnable() { // checked as an operation is that runs the same file
				local = append(local, &driver.Request{Deployment: p.name, Topology: p.topology, Action: driver.Run,
					Operation: &topology.Operation{Interface: "functions", Name: f.Name, Implementation: s.Implementation, Dependencies: s.Dependencies, Pos: f.Pos}})
			}
		}
	}
	l.checkReach(ctx, p, remote)
	for _, c := range []struct {
		d    driver.Driver
		reqs []*driver.Request
	}{{l.opts.Infra, infra}, {l.opts.Remote, remote}, {l.opts.Local, local}} {
		if checker, ok := c.d.(driver.Checker); ok && len(c.reqs) > 0 {
			p.diags.Add(checker.Check(ctx, c.reqs)...)
		}
	}
}

func (l *Local) checkFiles(p *prepared) {
	seen := map[string]bool{}
	for _, a := range artifacts(p.topology) {
		if a.File == "" || a.Source != "" || a.Repository != nil || strings.Contains(a.File, "://") || seen[a.File+a.Pos.String()] {
			continue
		}
		seen[a.File+a.Pos.String()] = true
		if !exists(p.topology, a.File) {
			p.diags.Errorf("missing-file", a.Pos, "there is no file %s", a.File).Hint = "paths are relative to the document that names them"
		}
	}
}

// checkSecrets looks for every secret that an expression asks for, where its arguments are known before the deployment.
func (l *Local) checkSecrets(ctx context.Context, p *prepared) {
	env := l.env(p, p.inputs)
	seen := map[string]bool{}
	topology.Walk(p.topology, func(v *topology.Value) {
		if v.Kind != topology.CallValue || v.Call.Fn != "get_secret" {
			return
		}
		args, ok := knownTexts(ctx, p.topology, v.Call.Args, env)
		key := strings.Join(args, " ")
		if !ok || seen[key] {
			return
		}
		seen[key] = true
		if err := l.checkSecret(ctx, args); err != nil {
			p.diags.Errorf("missing-secret", v.Pos, "the secret %s cannot be read: %v", key, err).Hint = secretHint(args[0], err)
		}
	})
}

func (l *Local) checkSecret(ctx context.Context, args []string) error {
	if l.opts.Secrets == nil {
		return errNoKey
	}
	return l.opts.Secrets.Check(ctx, args)
}

// knownTexts evaluates arguments that depend on nothing that is made; false if one does.
func knownTexts(ctx context.Context, t *topology.Topology, args []*topology.Value, env topology.Env) ([]string, bool) {
	out := make([]string, len(args))
	for i, a := range args {
		v := a.Lit
		if a.Kind == topology.CallValue {
			var err error
			if v, err = topology.Eval(ctx, topology.Scope{Topology: t}, a, env); err != nil {
				return nil, false
			}
		}
		switch s := v.(type) {
		case string:
			out[i] = s
		case int, int64:
			out[i] = fmt.Sprint(s)
		default:
			return nil, false
		}
	}
	return out, len(out) > 0 && out[0] != ""
}

// secretHint says how a secret gets where the reference looks for it, or what to look at where it may well be there already.
func secretHint(ref string, why error) string {
	r, err := secret.ParseRef(ref)
	switch {
	case err != nil:
		return "write a reference as [env:|file:|vault:]NAME[@VERSION][#FIELD]"
	case r.Scheme == "env":
		return "set the variable " + r.Name + " in the environment of orch, and allow it under secrets.env"
	case r.Scheme == "file":
		return "the file must be readable by orch, and allowed under secrets.files"
	case r.Scheme == "vault" && !errors.Is(why, secret.ErrNotFound):
		return "nothing is said about the secret itself; see whether Vault lets orch read it, with what orch has been given: vault kv get " + strings.Replace(r.Name, "//", "/", 1)
	case r.Scheme == "vault":
		return "write it with: vault kv put " + strings.Replace(r.Name, "//", "/", 1) + " …; orch reads with VAULT_ADDR and VAULT_TOKEN"
	}
	return "set it with: orch secrets set " + r.Name
}
