package seed

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
)

// mimeOnly are the types that only a header can say.
var mimeOnly = []string{"text/x-shellscript-per-boot", "text/x-shellscript-per-instance", "text/x-shellscript-per-once"}

// isMIME reports whether user data is a MIME message, as cloud-init does it
// (cloudinit/user_data.py, convert_string).
func isMIME(text string) bool {
	head := strings.ToLower(strings.TrimLeft(text[:min(len(text), 4096)], "\n"))
	return strings.HasPrefix(head, "mime-version:") || strings.HasPrefix(head, "content-type:")
}

// mimeParts takes a MIME message apart, parts of parts included.
func mimeParts(text string) ([]part, error) {
	message, err := mail.ReadMessage(strings.NewReader(strings.TrimLeft(text, "\n")))
	if err != nil {
		return nil, &mistake{1, "no MIME message: " + err.Error()}
	}
	w := &mimeReader{}
	if err := w.read(textproto.MIMEHeader(message.Header), message.Body, 0); err != nil {
		return nil, &mistake{0, "MIME message: " + err.Error()}
	}
	if len(w.parts) == 0 {
		return nil, &mistake{0, "the MIME message has no parts"}
	}
	return w.parts, nil
}

// mimeReader gathers the parts of a message.
type mimeReader struct{ parts []part }

func (w *mimeReader) read(header textproto.MIMEHeader, body io.Reader, depth int) error {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil && header.Get("Content-Type") != "" {
		return fmt.Errorf("header Content-Type %s: %w", short(header.Get("Content-Type")), err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return w.leaf(kind, header, body)
	}
	if depth >= maxPartDepth {
		return fmt.Errorf("parts are in parts more than %d deep", maxPartDepth)
	}
	reader := multipart.NewReader(body, params["boundary"])
	for {
		next, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("part %d: %w", len(w.parts)+1, err)
		}
		if err := w.read(next.Header, next, depth+1); err != nil {
			return err
		}
	}
}

// leaf takes one part. One that wants to be merged in a way of its own is refused,
// for it is merged here.
func (w *mimeReader) leaf(kind string, header textproto.MIMEHeader, body io.Reader) error {
	at := fmt.Sprintf("part %d", len(w.parts)+1)
	if len(w.parts) >= maxParts {
		return fmt.Errorf("there are more than %d parts", maxParts)
	}
	if header.Get("Merge-Type") != "" || header.Get("X-Merge-Type") != "" {
		return fmt.Errorf("%s has a Merge-Type; leave it out: mappings are merged deep, lists appended", at)
	}
	text, err := decodePart(header.Get("Content-Transfer-Encoding"), body)
	if err == nil {
		text, err = cleanText(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	known := func(k string) bool {
		return slices.Contains(mimeOnly, k) || slices.ContainsFunc(kinds, func(each struct{ header, mime string }) bool { return each.mime == k })
	}
	if kind == "" || kind == "text/plain" || kind == "text/x-not-multipart" || kind == "text/x-shellscript" {
		kind = kindOfText(text)
	}
	if !known(kind) {
		return fmt.Errorf("%s is of no type that cloud-init reads; want one such as %s or text/x-shellscript, that begins as it should", at, cloudConfigType)
	}
	_, params, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
	filename := params["filename"]
	if strings.Trim(filename, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return fmt.Errorf("%s: file name %s: want letters, digits and . _ -", at, short(filename))
	}
	w.parts = append(w.parts, part{mime: kind, filename: filename, text: text})
	return nil
}

func decodePart(encoding string, body io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(body, 2*MaxUserData))
	if err != nil {
		return "", err
	}
	switch strings.ToLower(encoding) {
	case "", "7bit", "8bit", "binary":
		return string(raw), nil
	case "base64":
		text, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(raw)))
		if err != nil {
			return "", fmt.Errorf("it is not base64, as its header says: %w", err)
		}
		return string(text), nil
	case "quoted-printable":
		raw, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(raw)))
		return string(raw), err
	}
	return "", fmt.Errorf("transfer encoding %s: want base64, quoted-printable, 7bit or 8bit", short(encoding))
}

// jinjaMerge is how cloud-init merges a template when it has become cloud-config: lists
// are appended, mappings deep, and what is there stays. Without it a list of the
// template would replace ours (cloudinit/handlers/cloud_config.py, DEF_MERGERS).
const jinjaMerge = "list(append)+dict(no_replace,recurse_list)+str()"

// writeMIME is the parts as one message. What is not ASCII goes as base64, since
// cloud-init reads the message as a text and would take the rest for Latin-1.
func writeMIME(parts []part) string {
	sum := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(sum, "%d %s\n", len(p.text), p.text)
	}
	boundary := "==" + hex.EncodeToString(sum.Sum(nil)[:16]) + "=="
	var out strings.Builder
	fmt.Fprintf(&out, "Content-Type: multipart/mixed; boundary=%q\nMIME-Version: 1.0\n", boundary)
	for _, p := range parts {
		fmt.Fprintf(&out, "\n--%s\nContent-Type: %s; charset=\"utf-8\"\nMIME-Version: 1.0\n", boundary, p.mime)
		if p.mime == jinjaType {
			out.WriteString("Merge-Type: " + jinjaMerge + "\n")
		}
		if p.filename != "" {
			fmt.Fprintf(&out, "Content-Disposition: attachment; filename=%q\n", p.filename)
		}
		if isASCII(p.text) {
			out.WriteString("Content-Transfer-Encoding: 7bit\n\n" + p.text)
		} else {
			out.WriteString("Content-Transfer-Encoding: base64\n\n" + wrap(base64.StdEncoding.EncodeToString([]byte(p.text))))
		}
	}
	fmt.Fprintf(&out, "\n--%s--\n", boundary)
	return out.String()
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 126 })
}

// wrap breaks a text into lines of 76 (RFC 2045 section 6.8).
func wrap(s string) string {
	var out strings.Builder
	for len(s) > 76 {
		out.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	return out.String() + s + "\n"
}
