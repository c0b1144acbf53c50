package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// jsonFormat is JSON as huma has it, and reads it strictly: text has to be UTF-8,
// where encoding/json would put U+FFFD in place of what is not.
var jsonFormat = huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: readJSON}

func readJSON(data []byte, v any) error {
	if body, ok := v.(*registerBody); ok {
		body.read(data)
		return nil
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("byte %d is not UTF-8", invalidByte(data))
	}
	err := json.Unmarshal(data, v)
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON, at byte %d: %w", wrong.Offset, err)
	}
	return err
}

// invalidByte is the offset of the first byte that is not UTF-8.
func invalidByte(data []byte) int {
	at := 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}
