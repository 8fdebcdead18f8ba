package source

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: CodeSyntax, Title: "The file is not valid YAML", Text: "The YAML reader could not make sense of the text. Most often the indentation is off, a quote is not closed, a text that contains ': ' or begins with one of @ ` % is not quoted, or a tab is used for indentation. The place is where the reader gave up; the mistake may be a few lines above."},
		diag.Code{ID: CodeEncoding, Title: "The file is not UTF-8 text", Text: "Documents are UTF-8. Save the file as UTF-8; keep binary files beside the document and name them as artifacts."},
		diag.Code{ID: CodeDuplicateKey, Title: "A key appears twice in one map", Text: "YAML maps have each key once; of two, one would silently be lost. Rename or remove one. In Alien4Cloud's dialects a repeated keyname is a warning, as in its own parser, but two templates or types of one name are an error."},
		diag.Code{ID: CodeTooLarge, Title: "The document is too large", Text: "Documents are limited in size and in number of values, so that a broken or hostile file cannot exhaust the memory. Split it into several files and import them."},
		diag.Code{ID: CodeTooDeep, Title: "The document is nested too deeply", Text: "Lists and maps may be nested a few hundred levels deep, counting what aliases stand for."},
		diag.Code{ID: CodeAlias, Title: "An alias or merge key cannot be followed", Text: "An alias (*name) needs an anchor (&name) before it, cannot be inside its own anchor, and all aliases together may not expand to millions of values. A merge key (<<) takes a map or a list of maps."},
		diag.Code{ID: CodeDocuments, Title: "The file holds more than one YAML document", Text: "Keep one document per file; remove the line '---' that begins the second."},
		diag.Code{ID: CodeKey, Title: "A map's key is not a text", Text: "Keys are texts. A key that begins with { or [ must be quoted."},
		diag.Code{ID: CodeRead, Title: "A file cannot be read", Text: "The file does not exist, is a directory, or may not be read. The message has the system's reason."},
		diag.Code{ID: CodeArchive, Title: "The archive is refused", Text: "The archive is damaged, or an entry is dangerous: an absolute path, a path that leaves the archive (..), a link or device, an encrypted entry, or contents that unpack to far more than is reasonable."},
		diag.Code{ID: CodeEntry, Title: "The root document cannot be found", Text: "A directory or archive needs TOSCA-Metadata/TOSCA.meta with a line 'Entry-Definitions: path', or exactly one YAML file at its root, or exactly one with a tosca_definitions_version. In an archive the root may be its only folder."},
		diag.Code{ID: CodeUnpack, Title: "The archive cannot be unpacked there", Text: "An archive is unpacked into a directory that is empty or does not exist yet, so that nothing is overwritten. The message has the system's reason where that is the problem. What a failed unpacking wrote is removed."},
		diag.Code{ID: CodeUnknownKey, Title: "An unknown key in a configuration file or manifest", Text: "Configuration is read strictly, so that a typing error is not silently ignored."},
		diag.Code{ID: CodeWrongType, Title: "A configuration value has the wrong type", Text: "The message names the setting and says what is expected: a text, a number, true or false, a duration such as 30s, a list or a map."},
	)
}
