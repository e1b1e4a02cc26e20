package report

import (
	"strings"
	"unicode"
)

// Clip makes text fit for STATUS=, and for a terminal: one line of at most most bytes
// and "...", in which only what is printable stands.
func Clip(text string, most int) string {
	text = Printable(strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " "))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// Printable replaces what might tell a terminal to do something: a program may run
// with less privilege than whoever asks for its status.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
