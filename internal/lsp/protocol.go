package lsp

// The parts of the Language Server Protocol 3.17 that the server speaks. Lines and characters count from 0; characters are UTF-16 units.
type (
	position struct {
		Line      int `json:"line"`
		Character int `json:"character"`
	}
	span struct {
		Start position `json:"start"`
		End   position `json:"end"`
	}
	location struct {
		URI   string `json:"uri"`
		Range span   `json:"range"`
	}
	documentID struct {
		URI     string `json:"uri"`
		Version int    `json:"version,omitempty"`
	}
	textDocumentItem struct {
		URI     string `json:"uri"`
		Version int    `json:"version"`
		Text    string `json:"text"`
	}
	didOpenParams struct {
		TextDocument textDocumentItem `json:"textDocument"`
	}
	didChangeParams struct {
		TextDocument   documentID      `json:"textDocument"`
		ContentChanges []contentChange `json:"contentChanges"`
	}
	contentChange struct {
		Range *span  `json:"range"` // nil: the whole text
		Text  string `json:"text"`
	}
	documentParams struct {
		TextDocument documentID `json:"textDocument"`
	}
	positionParams struct {
		TextDocument documentID `json:"textDocument"`
		Position     position   `json:"position"`
	}

	publishParams struct {
		URI         string       `json:"uri"`
		Version     *int         `json:"version,omitempty"`
		Diagnostics []diagnostic `json:"diagnostics"`
	}
	diagnostic struct {
		Range           span             `json:"range"`
		Severity        int              `json:"severity"`
		Code            string           `json:"code,omitempty"`
		CodeDescription *codeDescription `json:"codeDescription,omitempty"`
		Source          string           `json:"source"`
		Message         string           `json:"message"`
		Related         []related        `json:"relatedInformation,omitempty"`
	}
	codeDescription struct {
		Href string `json:"href"`
	}
	related struct {
		Location location `json:"location"`
		Message  string   `json:"message"`
	}

	hover struct {
		Contents markup `json:"contents"`
		Range    *span  `json:"range,omitempty"`
	}
	markup struct {
		Kind  string `json:"kind"`
		Value string `json:"value"`
	}
	completionList struct {
		IsIncomplete bool             `json:"isIncomplete"`
		Items        []completionItem `json:"items"`
	}
	completionItem struct {
		Label         string    `json:"label"`
		Kind          int       `json:"kind,omitempty"`
		Detail        string    `json:"detail,omitempty"`
		Documentation *markup   `json:"documentation,omitempty"`
		TextEdit      *textEdit `json:"textEdit,omitempty"`
		SortText      string    `json:"sortText,omitempty"`
	}
	textEdit struct {
		Range   span   `json:"range"`
		NewText string `json:"newText"`
	}
	documentSymbol struct {
		Name           string           `json:"name"`
		Detail         string           `json:"detail,omitempty"`
		Kind           int              `json:"kind"`
		Range          span             `json:"range"`
		SelectionRange span             `json:"selectionRange"`
		Children       []documentSymbol `json:"children,omitempty"`
	}

	initializeResult struct {
		Capabilities capabilities `json:"capabilities"`
		ServerInfo   serverInfo   `json:"serverInfo"`
	}
	capabilities struct {
		PositionEncoding string             `json:"positionEncoding"`
		Sync             syncOptions        `json:"textDocumentSync"`
		Hover            bool               `json:"hoverProvider"`
		Definition       bool               `json:"definitionProvider"`
		Symbols          bool               `json:"documentSymbolProvider"`
		Completion       *completionOptions `json:"completionProvider"`
	}
	syncOptions struct {
		OpenClose bool `json:"openClose"`
		Change    int  `json:"change"` // 2: incremental
		Save      bool `json:"save"`
	}
	completionOptions struct {
		TriggerCharacters []string `json:"triggerCharacters"`
	}
	serverInfo struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
)

// Kinds of symbols and completions that are used.
const (
	symbolModule, symbolClass, symbolProperty, symbolFunction, symbolVariable, symbolObject = 2, 5, 7, 12, 13, 19
	itemFunction, itemVariable, itemClass, itemProperty, itemValue, itemEnum, itemFile      = 3, 6, 7, 10, 12, 13, 17
)
