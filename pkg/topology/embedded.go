package topology

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// document checks a text of the types json and xml (TOSCA 1.3 §5.3.2, §5.3.3), which hold a document of that language; "" holds none yet.
func document(s *Schema, text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	switch {
	case s.Type.Is("tosca.datatypes.json"):
		var any json.RawMessage
		if err := json.Unmarshal([]byte(text), &any); err != nil {
			return fmt.Errorf("the text is not JSON: %w", err)
		}
	case s.Type.Is("tosca.datatypes.xml"):
		if err := wellFormed(text); err != nil {
			return fmt.Errorf("the text is not XML: %w", err)
		}
	}
	return nil
}

func wellFormed(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // the document is UTF-8, whatever this text says of itself
	d.Entity = xml.HTMLEntity
	elements := 0
	for {
		t, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && elements == 0:
			return errors.New("it has no element")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if _, ok := t.(xml.StartElement); ok {
			elements++
		}
	}
}
