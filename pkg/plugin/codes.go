package plugin

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: CodeManifest, Title: "A plugin's manifest is wrong", Text: "plugin.yaml says what a plugin is: name, version, providers and settings of a location. docs/plugins.md has every key."},
		diag.Code{ID: CodeMapping, Title: "A plugin's mapping is wrong", Text: "A mapping says which resources a node type becomes. docs/plugins.md has every key."},
		diag.Code{ID: CodeExpr, Title: "A plugin's expression is wrong", Text: "An expression in a mapping cannot be parsed or names something that it cannot know. docs/plugins.md has the language."},
		diag.Code{ID: CodePreflight, Title: "The cloud does not have what is needed", Text: "Before anything is made the cloud is asked for images, flavors, networks and whatever else the nodes name. The message says what was looked for and what there is. Nothing was created. Change the name in the document or in the location's settings."},
	)
}
