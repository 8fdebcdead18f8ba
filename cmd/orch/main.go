// Command orch deploys application topologies on OpenStack. This package is wiring only, and the one place that knows every
// implementation: it reads the configuration, opens the store, and puts drivers, plugins and the service together.
package main

import (
	"context"
	"os"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/pkg/driver/terraform"
	"github.com/orch-project/orch/pkg/source"
)

func main() {
	// This binary is also the init and SSH server of the sandbox's machines, the sandbox's daemon, and the supervisor of Terraform: these
	// never return when the process was started as one of them.
	machine.MaybeInit()
	terraform.MaybeSupervise(openStates)
	sandbox.MaybeRunDaemon()

	stdio := cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(cli.Main(context.Background(), os.Args[1:], stdio, cli.Deps{
		Open:      openApp,
		Connect:   connect,
		Source:    openSource,
		Documents: source.Documents,
		Load:      loadTopology,
		Complete:  completeSource,
		Pack:      packTopology, Unpack: unpackArchive, ArchiveBase: archiveBase,
		ReadYAML:       readYAML,
		WriteYAML:      writeYAML,
		Sandbox:        sandboxControl{},
		Doctor:         doctor,
		Serve:          serve,
		Store:          storeTool{},
		LanguageServer: languageServer,
		Convert:        convertDocument,
	}))
}
