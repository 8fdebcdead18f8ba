// Package cli is the `orch` command: one file per subcommand, each turning flags into a request to the Service and its answer into text.
//
// It knows no implementation: what it needs is in Deps, wired in cmd/orch. It holds no logic of deployments. It is the only package
// that imports cobra.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// Deps are the implementations behind the command.
type Deps struct {
	// Open the service that the configuration asks for.
	Open func(ctx context.Context, c *config.Config, log *slog.Logger) (*App, error)
	// Source opens a file, directory or archive as a bundle.
	Source func(path string) (*Bundle, error)
	// Documents finds the documents below a directory that can be validated on their own.
	Documents func(dir string) ([]string, error)
	// Load validates a bundle without a service, cloud or inputs.
	Load func(ctx context.Context, c *config.Config, b *Bundle) (*topology.Topology, diag.List)
	// Complete is a bundle with what it imports from above its directory, from the configuration's import path and from the network, as a server that
	// has none of these needs it. Its file system is an orch.Selective. Closing it closes b.
	Complete func(ctx context.Context, c *config.Config, b *Bundle) (*Bundle, error)
	// Pack decides what the archive of a loaded topology holds; Unpack writes an archive's files into a directory, by default ArchiveBase.
	Pack        Packer
	Unpack      Unpacker
	ArchiveBase func(archive string) string
	// Convert writes a document in another dialect.
	Convert Converter
	// LanguageServer is what `orch lsp` runs.
	LanguageServer LanguageServer
	// ReadYAML decodes a YAML or JSON file into plain values (maps with string keys, lists, scalars).
	ReadYAML func(path string) (map[string]any, error)
	// WriteYAML encodes any JSON-encodable value.
	WriteYAML func(w io.Writer, v any) error
	Sandbox   Sandbox
	Store     StoreTool
	// Connect opens the service of a server.
	Connect func(ctx context.Context, r Remote, log *slog.Logger) (*App, error)
	// Serve answers on the listener until ctx ends; it calls ready when it does.
	Serve  func(ctx context.Context, c *config.Config, log *slog.Logger, o ServeOptions, ready func()) error
	Doctor func(ctx context.Context, c *config.Config, open func() (*App, error)) []Check
}

// App is an open service with what only a local user has.
type App struct {
	orch.Service
	// Shell opens an interactive session, or runs a command, on a host of a deployment; it returns the remote exit code.
	Shell func(ctx context.Context, h *driver.Host, command []string, stdio Stdio) (int, error)
	// WhoAmI is who the service takes the command for.
	WhoAmI func(ctx context.Context) (orch.Identity, error)
	// OnOutage sets who is told when the server stops answering while it is followed, and is waited for; nil where there is no server.
	OnOutage func(tell func(text string))
	// Finish waits for what other commands have asked this process for, and tells what that is, until it has ended or ctx has: then Close leaves it to the
	// next command. nil where a command does nothing for others.
	Finish func(ctx context.Context, tell func(works []orch.Task))
}

// Bundle is an opened source.
type Bundle struct {
	FS    fs.FS
	Entry string // root document, "" lets the archive's rules find it
	Name  string // as given by the user, for messages
	Shown string // begins the names of its files in positions
	// Default name of a deployment made from it.
	Deployment string
	Close      func() error
	// Source is the opened thing itself, for Load.
	Source any
}

// Stdio are the streams of a command.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// Sandbox starts and stops the embedded OpenStack.
type Sandbox interface {
	Up(ctx context.Context, dir string) (SandboxStatus, error)
	Down(ctx context.Context, dir string) error
	Status(ctx context.Context, dir string) (SandboxStatus, error)
	// Exec runs a command where the servers' addresses can be reached, and returns its exit code.
	Exec(ctx context.Context, dir string, command []string, stdio Stdio) (int, error)
	// Fault adds, lists or clears injected faults; the text form is documented by `orch sandbox fault --help`.
	Fault(ctx context.Context, dir string, spec string) (string, error)
}

// SandboxStatus of an embedded OpenStack.
type SandboxStatus struct {
	Running    bool              `json:"running"`
	Dir        string            `json:"dir"`
	PID        int               `json:"pid,omitempty"`
	AuthURL    string            `json:"auth_url,omitempty"`
	CloudsYAML string            `json:"clouds_yaml,omitempty"`
	External   string            `json:"external_network,omitempty"`
	Machines   string            `json:"machines,omitempty"` // "real", or why servers are only records
	Resources  map[string]int    `json:"resources"`
	Detail     map[string]string `json:"detail,omitempty"`
}

// Check is one finding of `orch doctor`.
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warning, problem
	Text   string `json:"text"`
	Fix    string `json:"fix,omitempty"`
}

// Main runs the command and returns the exit code. An interrupt ends the command's context; a second one ends the process, except
// where a task is followed (see follow).
func Main(ctx context.Context, args []string, stdio Stdio, deps Deps) (code int) {
	env := &environment{deps: deps, stdio: stdio, out: view.NewPrinter(stdio.Out), err: view.NewPrinter(stdio.Err)}
	defer func() {
		if v := recover(); v != nil {
			code = env.defect(v, debug.Stack())
		}
	}()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := newRoot(env)
	if c, _, err := root.Find(args); err == nil {
		env.command = c.CommandPath()
	}
	root.SetArgs(args)
	root.SetIn(stdio.In)
	root.SetOut(stdio.Out)
	root.SetErr(stdio.Err)
	err := root.ExecuteContext(ctx)
	if cerr := env.close(); err == nil {
		err = cerr
	}
	return env.report(err)
}

// environment is what the subcommands share: flags, printers, the lazily opened service.
type environment struct {
	deps     Deps
	stdio    Stdio
	out, err *view.Printer

	format     string
	configPath string
	overrides  map[string]string
	logLevel   string
	level      slog.LevelVar // in force; see logger
	command    string        // its words, without arguments: "orch deploy"
	verbose    bool
	// server, context and tenant say where and in which tenant to work.
	server, context, tenant string

	cfg *config.Config
	app *App
}

func newRoot(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "orch",
		Short: "Deploy application topologies on OpenStack and keep them running",
		Long: `orch reads a topology (TOSCA, Alien4Cloud, Cloudify), provisions its servers and networks on
OpenStack through Terraform, configures them over SSH, and removes everything again.

Exit codes:
  0  done            1  your document, flags or inputs are wrong
  2  the cloud       3  an operation on a server failed      4  cancelled
  5  changes (plan --detailed-exitcode, drift)               6  not found
  7  conflict        8  state store     9  not allowed       70 a defect of orch`,
		Example: `  orch sandbox up
  orch deploy examples/01-web-cluster
  orch status
  orch undeploy`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := root.PersistentFlags()
	outputFlag(root, &env.format, true, "text", "json", "yaml")
	f.StringVar(&env.configPath, "config", "", "configuration `file` (default $ORCH_CONFIG, else config.yaml in the configuration directory)")
	env.overrides = map[string]string{}
	for _, name := range []struct{ flag, usage string }{
		{"home", "`directory` for state and caches of this machine (ORCH_HOME)"},
		{"store", "state store `URL`: bolt:PATH or consul://HOST:PORT/PREFIX (ORCH_STORE)"},
	} {
		f.Func(name.flag, name.usage, func(v string) error { env.overrides[name.flag] = v; return nil })
	}
	f.StringVar(&env.server, "server", "", "work on the server at this `URL` (ORCH_SERVER); local is this machine")
	f.StringVar(&env.context, "context", "", "work on the saved server of this `name`")
	f.Func("tenant", "tenant to work in, by `name` (ORCH_TENANT)", func(v string) error { env.tenant, env.overrides["tenant"] = v, v; return nil })
	f.Func("import-path", "`directory` of archives and plugins that documents import by name; repeatable (ORCH_IMPORT_PATH)", func(v string) error {
		if have := env.overrides["import_path"]; have != "" {
			v = have + string(os.PathListSeparator) + v
		}
		env.overrides["import_path"] = v
		return nil
	})
	f.BoolFunc("allow-network", "read imports from http and https addresses (ORCH_ALLOW_NETWORK); what a deployment has read is kept with it", func(v string) error {
		env.overrides["allow_network"] = v
		return nil
	})
	f.Var(oneOf{&env.logLevel, []string{"debug", "info", "warn", "error"}}, "log-level", "orch's own log on stderr: a `level` of debug, info, warn or error (ORCH_LOG_LEVEL; default warn, for a server info)")
	f.BoolVarP(&env.verbose, "verbose", "v", false, "print every line of output of the operations")
	root.AddGroup(&cobra.Group{ID: "doc", Title: "Documents:"}, &cobra.Group{ID: "life", Title: "Deployments:"}, &cobra.Group{ID: "look", Title: "Looking:"}, &cobra.Group{ID: "set", Title: "Setting up:"})
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("doc", validateCmd(env), explainCmd(env), graphCmd(env), inputsCmd(env), packCmd(env), unpackCmd(env), convertCmd(env), lspCmd(env))
	add("life", planCmd(env), deployCmd(env), undeployCmd(env), sweepCmd(env), runCmd(env), controlCmd(env, "resume"), controlCmd(env, "retry"),
		controlCmd(env, "skip"), cancelCmd(env))
	add("look", listCmd(env), statusCmd(env), tasksCmd(env), revisionsCmd(env), whyCmd(env), reportCmd(env), outputsCmd(env), logsCmd(env), eventsCmd(env), sshCmd(env))
	add("set", serverCmd(env), secretsCmd(env), storeCmd(env), hostsCmd(env), locationsCmd(env), sandboxCmd(env), doctorCmd(env), configCmd(env), versionCmd(env))
	add("life", operateCmd(env), healCmd(env), scaleCmd(env), rollbackCmd(env))
	add("look", workflowsCmd(env), driftCmd(env))
	add("doc", blueprintsCmd(env))
	add("life", applyCmd(env), plansCmd(env))
	add("look", auditCmd(env), whoamiCmd(env))
	add("set", contextCmd(env), usersCmd(env), tokensCmd(env), tenantsCmd(env))
	root.SetFlagErrorFunc(explainFlag)
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" || c.Name() == "help" {
			c.GroupID = "set"
		}
	}
	polish(root)
	return root
}

// defect reports a bug of orch without a stack trace, which tells users nothing; --log-level debug shows it.
func (e *environment) defect(v any, stack []byte) int {
	e.logger().Debug("panic", "value", v, "stack", string(stack))
	e.err.Printf("%s this is a defect of orch, not of your document: %v\n", e.err.Paint(view.Bad, "Error:"), v)
	e.err.Printf("  what was done so far is recorded; please report it with the output of the same command and --log-level debug\n")
	return exitInternal
}

// config loads the configuration once.
func (e *environment) config() (*config.Config, error) {
	if e.cfg != nil {
		return e.cfg, nil
	}
	c, err := config.Load(config.Options{Path: e.configPath, Overrides: e.fromFlags()})
	if err != nil {
		return nil, err
	}
	c.Command, e.cfg = e.command, c
	return c, nil
}

// fromFlags are the settings that flags give.
func (e *environment) fromFlags() map[string]string {
	all := maps.Clone(e.overrides)
	if e.logLevel != "" {
		all["log.level"] = e.logLevel
	}
	return all
}

// open the service once.
func (e *environment) open(ctx context.Context) (*App, error) {
	if e.app != nil {
		return e.app, nil
	}
	c, err := e.config()
	if err != nil {
		return nil, err
	}
	remote, err := e.remote()
	if err != nil {
		return nil, err
	}
	var app *App
	if remote != nil {
		app, err = e.deps.Connect(ctx, *remote, e.logger())
	} else {
		app, err = e.deps.Open(ctx, c, e.logger())
	}
	if err != nil {
		return nil, err
	}
	e.app = app
	return app, nil
}

func (e *environment) close() error {
	if e.app == nil {
		return nil
	}
	if e.app.Finish != nil {
		e.finish()
	}
	return e.app.Close()
}

// finish waits for what other commands have started in this process. An interrupt leaves that to the next command.
func (e *environment) finish() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var works []orch.Task
	e.app.Finish(ctx, func(now []orch.Task) {
		works = now
		e.err.WorksFor(now)
	})
	if ctx.Err() != nil && len(works) > 0 {
		e.err.LeftTo(works)
	}
}

// usage is an error of the command line.
func usage(format string, args ...any) error {
	return &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf(format, args...)}
}

// report prints an error once, with its next step, and returns the exit code.
func (e *environment) report(err error) int {
	if err == nil {
		return 0
	}
	var quiet *exitError
	if errors.As(err, &quiet) {
		return quiet.code
	}
	var list *diag.ListError
	if errors.As(err, &list) {
		e.aboutStored(err)
		e.diagnostics(e.err, list.List)
		return 1
	}
	if errors.Is(err, context.Canceled) {
		e.err.Println("interrupted")
		return exitCancelled
	}
	e.err.Printf("%s %v\n", e.err.Paint(view.Bad, "Error:"), err)
	var known *orch.Error
	if errors.As(err, &known) && known.Hint != "" {
		e.err.Printf("  %s\n", known.Hint)
	}
	return exitCode(err)
}
