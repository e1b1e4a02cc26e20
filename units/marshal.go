package units

import (
	"encoding"
	"fmt"
	"io"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

var _ encoding.TextMarshaler = (*Unit)(nil)

// MarshalText returns the unit as the text of a file, with its comments. Parse
// reads the same options from it. An error says which option, section or comment no
// file can hold, such as a value of two lines.
func (u *Unit) MarshalText() ([]byte, error) {
	if err := writable(u.Comment, "the unit's comment", "\r\x00"); err != nil {
		return nil, err
	}
	var sections []*unit.UnitSection
	for i, o := range u.Options {
		if err := o.writable(); err != nil {
			return nil, err
		}
		if i == 0 || o.Section != u.Options[i-1].Section {
			sections = append(sections, &unit.UnitSection{Section: o.Section})
		}
		if endsOpen(o.Value) {
			o.Value += " " // or the next line would be part of it
		}
		s := sections[len(sections)-1]
		s.Entries = append(s.Entries, &unit.UnitEntry{Name: o.Name, Value: o.Value})
	}
	bare, err := io.ReadAll(unit.SerializeSections(sections))
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	comment(&b, u.Comment)
	options := u.Options
	for line := range strings.Lines(string(bare)) {
		if line != "\n" && line[0] != '[' {
			comment(&b, options[0].Comment)
			options = options[1:]
		}
		b.WriteString(line)
	}
	return []byte(b.String()), nil
}

func comment(b *strings.Builder, text string) {
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			line = "# " + line
		}
		b.WriteString(line + "\n")
	}
}

// writable says why no file can hold the option.
func (o Option) writable() error {
	what := fmt.Sprintf("%s= in [%s]", o.Name, o.Section)
	switch {
	case o.Section == "":
		return fmt.Errorf("units: %s: it has no section", what)
	case o.Name == "":
		return fmt.Errorf("units: %s: it has no name", what)
	case strings.Contains(o.Name, "=") || strings.Trim(o.Name, whitespace) != o.Name || strings.HasPrefix(o.Name, byteOrderMark) || strings.IndexByte("[#;", o.Name[0]) >= 0:
		return fmt.Errorf("units: %s: the name %q does not stand for an option", what, o.Name)
	case strings.ContainsFunc(o.Section, unfit):
		return fmt.Errorf("units: %s: the section %q holds a quote, a backslash or a control character", what, o.Section)
	case strings.Trim(o.Value, whitespace) != o.Value:
		return fmt.Errorf("units: %s: the value %q begins or ends in blanks", what, o.Value)
	}
	for _, text := range []string{o.Name, o.Value} {
		if err := writable(text, what, "\n\r\x00"); err != nil {
			return err
		}
		if !valid(text) {
			return fmt.Errorf("units: %s: %q is not UTF-8, or holds a code point that is no character", what, text)
		}
	}
	return writable(o.Comment, "the comment of "+what, "\r\x00")
}

// writable says that text ends a line where it must not.
func writable(text, what, ends string) error {
	if i := strings.IndexAny(text, ends); i >= 0 {
		return fmt.Errorf("units: %s: %q holds %q, which ends a line", what, text, text[i])
	}
	return nil
}
