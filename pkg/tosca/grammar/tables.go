package grammar

import (
	"fmt"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

func init() {
	for _, minor := range []int{0, 1, 2, 3} {
		Register(tosca1(minor))
	}
	Register(tosca2())
	for _, v := range []struct {
		name  string
		level int
		extra []string
	}{
		// The working draft's dialect was Alien4Cloud's first; its archives still exist.
		{"alien_dsl_1_2_0", 12, []string{"tosca_simple_yaml_1_0_0_wd03", "alien_dsl_1_1_0"}},
		{"alien_dsl_1_3_0", 13, nil},
		{"alien_dsl_1_4_0", 14, nil},
		{"alien_dsl_2_0_0", 20, nil},
		{"alien_dsl_3_0_0", 30, nil},
	} {
		Register(alien(v.name, v.level, v.extra...))
	}
	Register(yorc())
}

// toscaRoots are the types that everything derives from in TOSCA 1.x.
var toscaRoots = map[document.Kind]string{
	document.NodeType:         "tosca.nodes.Root",
	document.RelationshipType: "tosca.relationships.Root",
	document.CapabilityType:   "tosca.capabilities.Root",
	document.InterfaceType:    "tosca.interfaces.Root",
	document.ArtifactType:     "tosca.artifacts.Root",
	document.GroupType:        "tosca.groups.Root",
	document.PolicyType:       "tosca.policies.Root",
}

func tosca1(minor int) *family {
	f := &family{
		// ONAP and Alien4Cloud's manual write the version with its third part.
		versions: []string{fmt.Sprintf("tosca_simple_yaml_1_%d", minor), fmt.Sprintf("tosca_simple_yaml_1_%d_0", minor)},
		title:    fmt.Sprintf("TOSCA 1.%d", minor),
		keys:     keysAt(toscaKeys, 10+minor),
		unknown:  diag.Error,
		level:    10 + minor,
		traits: document.Traits{
			Implicit:    fmt.Sprintf("tosca-simple-profile:1.%d", minor),
			Expressions: functions1(10 + minor),
			Roots:       toscaRoots,
			Order:       topology.Interleaved,
		},
	}
	if minor == 0 {
		f.versions = append(f.versions, "http://docs.oasis-open.org/tosca/ns/simple/yaml/1.0", "http://docs.oasis-open.org/tosca/simple/1.0",
			"tosca_simple_profile_for_nfv_1_0_0", "tosca_simple_profile_for_nfv_1_0")
	} else {
		f.versions = append(f.versions, fmt.Sprintf("http://docs.oasis-open.org/tosca/ns/simple/yaml/1.%d", minor))
	}
	return f
}

func tosca2() *family {
	return &family{
		versions: []string{"tosca_2_0"},
		title:    "TOSCA 2.0",
		keys:     keysAt(toscaKeys, 20),
		unknown:  diag.Error,
		level:    20,
		v2:       true,
		traits:   document.Traits{Expressions: functions2(), Strict: true, Order: topology.Interleaved},
	}
}

func alien(name string, level int, also ...string) *family {
	f := &family{
		versions: append([]string{name}, also...),
		title:    name,
		keys:     keysAt(alienKeys, level),
		unknown:  diag.Warning,
		level:    level,
		a4c:      true,
		traits: document.Traits{
			Expressions:                functionsA4C(level),
			Roots:                      toscaRoots,
			YAML11:                     true,
			Lenient:                    true,
			HostLookup:                 true,
			RequirementsByRelationship: true,
			CapabilityNames:            true,
		},
	}
	if level < 20 {
		f.traits.Order = topology.CreateInParallel
	}
	return f
}

func yorc() *family {
	f := alien("yorc_tosca_simple_yaml_1_0", 30)
	f.title = "Yorc's TOSCA"
	f.keys = union(f.keys, keysAt(toscaKeys, 13))
	f.traits.Order = topology.TargetStartedFirst
	return f
}
