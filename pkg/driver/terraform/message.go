package terraform

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
)

// message is a line of `terraform apply -json`: https://developer.hashicorp.com/terraform/internals/machine-readable-ui
type message struct {
	Level      string      `json:"@level"`
	Text       string      `json:"@message"`
	Type       string      `json:"type"`
	Hook       *hook       `json:"hook"`
	Change     *change     `json:"change"`
	Changes    *summary    `json:"changes"`
	Diagnostic *diagnostic `json:"diagnostic"`
}

type resourceRef struct {
	Addr string `json:"addr"`
}

type hook struct {
	Resource resourceRef `json:"resource"`
	Action   string      `json:"action"`
	IDKey    string      `json:"id_key"`
	IDValue  string      `json:"id_value"`
	Elapsed  float64     `json:"elapsed_seconds"`
}

type change struct {
	Resource resourceRef `json:"resource"`
	Action   string      `json:"action"`
}

type summary struct {
	Operation string `json:"operation"`
}

type diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
}

// tail reads whole lines that are appended to a file.
type tail struct {
	path   string
	offset int64
	rest   []byte
}

// read returns the messages that came since the last call. Lines that are no JSON are returned as log messages.
func (t *tail) read() ([]message, error) {
	f, err := os.Open(t.path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(t.offset, io.SeekStart); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	t.offset += int64(len(data))
	data = append(t.rest, data...)
	var out []message
	for {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			break
		}
		line := bytes.TrimSpace(data[:i])
		data = data[i+1:]
		if len(line) == 0 {
			continue
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			m = message{Level: "info", Type: "log", Text: string(line)}
		}
		out = append(out, m)
	}
	t.rest = bytes.Clone(data)
	return out, nil
}
