package units

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Unit is what one unit file, or one drop-in, says.
type Unit struct {
	File    string // as given to Parse
	Comment string // the comment above the first section, as of an Option
	Options []Option

	// Ignored are the lines that systemd warns about and then ignores.
	Ignored []*SyntaxError
}

// An Option is one assignment. An empty Value is one too: it empties a list
// (systemd.syntax(7)).
type Option struct {
	Section string // "Service"
	Name    string // "ExecStart"
	Value   string // on one line, quotes and escapes as they stand

	// Comment is the text of the comments above, without the "#" or ";" and the
	// blank after it, one line each. An empty first line is an empty line above
	// the comment.
	Comment string

	File string // where it stands
	Line int    // the first, where it takes several; from 1 upwards
}

// A SyntaxError is a line that systemd does not understand.
type SyntaxError struct {
	File   string
	Line   int
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// maxLine bounds a line together with those that continue it, as in systemd.
const maxLine = 1 << 20

// Parse reads the text of a unit file or of a drop-in, as systemd does: a line
// that ends in a backslash goes on in the next one, comments between the two are
// skipped, and each value is trimmed. Values keep their quotes, escapes and
// specifiers: those mean something else in each option. Sections and options need
// not be known. A section without options is left out, and so are comments below
// the last option.
//
// file is for messages. An error is a *SyntaxError for a line at which systemd
// gives up on the file: no unit is loaded from it. The Unit returned with it holds
// what stands above that line, and is never nil.
func Parse(file, text string) (*Unit, error) {
	p := parser{unit: &Unit{File: file}}
	var pending strings.Builder // a line that goes on
	begin, marked := 0, false
	for number := 1; text != ""; number++ {
		var line string
		line, text = cutLine(text)
		if pending.Len()+len(line) >= maxLine {
			return p.unit, p.fault(number, "the line is longer than 1 MiB")
		}
		if comment := strings.TrimLeft(line, whitespace); comment != "" && strings.IndexByte("#;", comment[0]) >= 0 {
			if pending.Len() == 0 {
				p.comment(comment[1:])
			}
			continue
		}
		if !marked {
			line, marked = strings.CutPrefix(line, byteOrderMark)
		}
		if pending.Len() == 0 {
			begin = number
		}
		if endsOpen(line) {
			pending.WriteString(line[:len(line)-1] + " ")
			continue
		}
		pending.WriteString(line)
		if err := p.line(begin, pending.String()); err != nil {
			return p.unit, err
		}
		pending.Reset()
	}
	if pending.Len() > 0 {
		if err := p.line(begin, pending.String()); err != nil {
			return p.unit, err
		}
	}
	if p.section == "" {
		p.unit.Comment = p.commented() // there is nothing else in it
	}
	return p.unit, nil
}

// byteOrderMark is skipped where it stands first, at the beginning of a line.
const byteOrderMark = "\ufeff"

// whitespace is what systemd trims.
const whitespace = " \t\n\r"

// cutLine returns the first line, and what comes after it. A line ends in \n, \r or
// NUL; different ones in a row are one end.
func cutLine(text string) (line, rest string) {
	const ends = "\n\r\x00"
	i := strings.IndexAny(text, ends)
	if i < 0 {
		return text, ""
	}
	line = text[:i]
	var seen string
	for i < len(text) && strings.IndexByte(ends, text[i]) >= 0 && strings.IndexByte(seen, text[i]) < 0 && !strings.HasSuffix(seen, "\x00") {
		seen += text[i : i+1]
		i++
	}
	return line, text[i:]
}

// endsOpen reports whether s ends in a backslash that is not escaped itself.
func endsOpen(s string) bool {
	return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 1
}

type parser struct {
	unit     *Unit
	section  string
	comments []string // since the last option; "" is an empty line
}

func (p *parser) fault(line int, format string, args ...any) *SyntaxError {
	return &SyntaxError{File: p.unit.File, Line: line, Reason: fmt.Sprintf(format, args...)}
}

func (p *parser) ignore(line int, format string, args ...any) {
	p.unit.Ignored = append(p.unit.Ignored, p.fault(line, format, args...))
}

// line takes one line, with those that continue it.
func (p *parser) line(number int, line string) error {
	line = strings.Trim(line, whitespace)
	name, value, assigned := strings.Cut(line, "=")
	name, value = strings.Trim(name, whitespace), strings.Trim(value, whitespace)
	switch {
	case line == "":
		p.comment("")
	case !valid(line):
		return p.fault(number, "it is not UTF-8, or holds a code point that is no character")
	case line[0] == '[':
		return p.header(number, line)
	case p.section == "":
		p.ignore(number, "it stands in no section: %q", line)
	case !assigned:
		p.ignore(number, "it is neither an assignment (want NAME=VALUE) nor a section: %q", line)
	case name == "":
		p.ignore(number, "there is no name before the equals sign: %q", line)
	default:
		p.unit.Options = append(p.unit.Options, Option{
			Section: p.section, Name: name, Value: value, Comment: p.commented(), File: p.unit.File, Line: number,
		})
	}
	return nil
}

// header takes the line that begins a section.
func (p *parser) header(number int, line string) error {
	name, closed := strings.CutSuffix(line[1:], "]")
	if !closed {
		return p.fault(number, "the section does not end in ]: %q", line)
	}
	if strings.ContainsFunc(name, unfit) {
		return p.fault(number, "a quote, a backslash or a control character in the name of a section: %q", line)
	}
	if p.section == "" {
		p.unit.Comment = p.commented()
	}
	p.section = name
	return nil
}

// unfit reports whether the name of a section must not hold c.
func unfit(c rune) bool { return c < ' ' || strings.ContainsRune("\"\\'\x7f", c) }

// comment takes one line of comment, or an empty one.
func (p *parser) comment(text string) {
	p.comments = append(p.comments, strings.TrimRight(strings.TrimPrefix(text, " "), whitespace))
}

// commented is the comment above a line, and ends it. At the beginning of a section
// or file it has no empty line above.
func (p *parser) commented() string {
	text := strings.TrimRight(strings.Join(p.comments, "\n"), "\n")
	p.comments = p.comments[:0]
	trimmed := strings.TrimLeft(text, "\n")
	last := len(p.unit.Options) - 1
	if trimmed == text || last < 0 || p.unit.Options[last].Section != p.section {
		return trimmed
	}
	return "\n" + trimmed
}

// valid is systemd's notion of UTF-8, which takes no noncharacters.
func valid(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool {
		return c >= 0xfdd0 && c <= 0xfdef || c&0xfffe == 0xfffe
	})
}
