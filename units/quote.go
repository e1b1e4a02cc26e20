package units

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// maxName bounds a name, so that with a suffix it stays below systemd's 255.
const maxName = 200

// validUnitName reports whether name can be that of a unit, without its suffix
// (systemd.unit(5)). Templates are not.
func validUnitName(name string) bool {
	return name != "" && name[0] != '.' && len(name) <= maxName && !strings.ContainsFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(":-_.", c))
	})
}

// specifiers writes text so that systemd sees no specifier in it.
func specifiers(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// oneLine reports whether text can be a value as it stands.
func oneLine(text string) bool {
	return valid(text) && strings.TrimSpace(text) == text && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// plain are the characters, beside letters and digits, of words that need no quotes.
const plain = "_@+=:,./-%$"

// quoteWord writes an argument of a command so that the program sees it as it is
// (systemd.service(5), "Command lines").
func quoteWord(word string) string {
	bare := word != ""
	var b strings.Builder
	for _, c := range specifiers(strings.ReplaceAll(word, "$", "$$")) {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(plain, c):
			b.WriteRune(c)
			continue
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteRune(c)
		}
		bare = false
	}
	if bare {
		return b.String()
	}
	return `"` + b.String() + `"`
}

// quoteCommand writes a command as the value of ExecStart=.
func quoteCommand(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quoteWord(w)
	}
	return strings.Join(quoted, " ")
}

// checkCommand says what of the command no ExecStart= can hold.
func (d Description) checkCommand() error {
	if len(d.Command) == 0 || d.Command[0] == "" {
		if d.Kind == KindContainer {
			return errors.New("no image")
		}
		return errors.New("no program")
	}
	for _, w := range d.Command {
		if !valid(w) || strings.Contains(w, "\x00") {
			return fmt.Errorf("the command's word %q: it is not text in UTF-8", w)
		}
	}
	program := d.Command[0]
	if d.Kind == KindContainer {
		if !oneLine(program) {
			return fmt.Errorf("the image %q: want text on one line, without blanks around it", program)
		}
		return nil
	}
	if !path.IsAbs(program) && (strings.Contains(program, "/") || strings.ContainsAny(program[:1], "@-:+!|")) {
		return fmt.Errorf("the program %q: want an absolute path, or a name that systemd looks up", program)
	}
	if first := d.exec()[0]; strings.Contains(first, "$") {
		return fmt.Errorf("the program %q: systemd can start none with a $ in its path", first)
	}
	return nil
}

// seconds writes a time as systemd.time(7) has it.
func seconds(d time.Duration) string {
	if d%time.Second != 0 {
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	return strconv.FormatInt(int64(d/time.Second), 10)
}
