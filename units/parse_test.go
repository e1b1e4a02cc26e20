package units

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"
)

func TestParse(t *testing.T) {
	const file = "a.service"
	opt := func(line int, section, name, value, comment string) Option {
		return Option{Section: section, Name: name, Value: value, Comment: comment, File: file, Line: line}
	}
	for _, c := range []struct {
		name, text string
		want       []Option
		comment    string   // the unit's
		ignored    []string // what the messages hold
	}{
		{name: "empty"},
		{name: "plain", text: "[Service]\nType=notify\n", want: []Option{opt(2, "Service", "Type", "notify", "")}},
		{name: "no newline at the end", text: "[S]\nA=1", want: []Option{opt(2, "S", "A", "1", "")}},
		{name: "blanks", text: "\t[S] \n \tA \t=\t 1 \n", want: []Option{opt(2, "S", "A", "1", "")}},
		{name: "emptied", text: "[S]\nA=\n", want: []Option{opt(2, "S", "A", "", "")}},
		{name: "values as they stand", text: "[S]\nA=\"x y\" 'z' \\x20 %i $B=#c;d\n", want: []Option{opt(2, "S", "A", `"x y" 'z' \x20 %i $B=#c;d`, "")}},
		{name: "continued", text: "[S]\nA=x\\\n  y \\\n\tz\nB=1\n", want: []Option{opt(2, "S", "A", "x   y  \tz", ""), opt(5, "S", "B", "1", "")}},
		{name: "a comment between", text: "[S]\nA=x\\\n# no\\\n  ; nor\n y\n", want: []Option{opt(2, "S", "A", "x  y", "")}},
		{name: "an empty line ends it", text: "[S]\nA=x\\\n\ny=1\n", want: []Option{opt(2, "S", "A", "x", ""), opt(4, "S", "y", "1", "")}},
		{name: "the file ends it", text: "[S]\nA=x\\", want: []Option{opt(2, "S", "A", "x", "")}},
		{name: "an escaped backslash does not go on", text: "[S]\nA=x\\\\\nB=\\\\\\\n1\n", want: []Option{opt(2, "S", "A", `x\\`, ""), opt(3, "S", "B", `\\ 1`, "")}},
		{name: "nor does one before a blank", text: "[S]\nA=x\\ \nB=1\n", want: []Option{opt(2, "S", "A", `x\`, ""), opt(3, "S", "B", "1", "")}},
		{name: "a comment does not go on", text: "# c\\\n[S]\nA=1\n", want: []Option{opt(3, "S", "A", "1", "")}, comment: `c\`},
		{name: "a name over two lines", text: "[S]\nA\\\n=1\n", want: []Option{opt(2, "S", "A", "1", "")}},
		{name: "a section over two lines", text: "[S\\\nT]\nA=1\n", want: []Option{opt(3, "S T", "A", "1", "")}},
		{name: "a section again", text: "[S]\nA=1\n[T]\nB=2\n[S]\nA=3\n", want: []Option{opt(2, "S", "A", "1", ""), opt(4, "T", "B", "2", ""), opt(6, "S", "A", "3", "")}},
		{name: "ends of lines", text: "[S]\r\nA=1\n\rB=2\x00C=3\r\rD=4\n\x00\nE=5", want: []Option{
			opt(2, "S", "A", "1", ""), opt(3, "S", "B", "2", ""), opt(4, "S", "C", "3", ""), opt(6, "S", "D", "4", ""), opt(8, "S", "E", "5", ""),
		}},
		{name: "byte order mark", text: "\ufeff[S]\nA=1\n", want: []Option{opt(2, "S", "A", "1", "")}},
		{
			name: "comments", text: "# head\n\n# two\n\n[S]\n\n# a\n;b\nA=1\nB=2\n\n#  c\n#\n# d\nC=3\n\n# t\n[T]\n# u\nD=4\n# lost\n", comment: "head\n\ntwo",
			want: []Option{opt(9, "S", "A", "1", "a\nb"), opt(10, "S", "B", "2", ""), opt(15, "S", "C", "3", "\n c\n\nd"), opt(20, "T", "D", "4", "t\nu")},
		},
		{name: "in no section", text: "A=1\n[S]\nB=2\n", want: []Option{opt(3, "S", "B", "2", "")}, ignored: []string{`a.service:1: it stands in no section: "A=1"`}},
		{name: "no assignment", text: "[S]\nA\\\nB\nC=1\n", want: []Option{opt(4, "S", "C", "1", "")}, ignored: []string{"a.service:2: it is neither"}},
		{name: "no name", text: "[S]\n = 1\n", ignored: []string{"a.service:2: there is no name"}},
		// A mark hides the comment's sign from systemd, too.
		{name: "a comment after the mark", text: "\ufeff# c\n[S]\nA=1\n", want: []Option{opt(3, "S", "A", "1", "")}, ignored: []string{"a.service:1: it stands in no section"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := Parse(file, c.text)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(u.Options, c.want) {
				t.Errorf("got  %+v\nwant %+v", u.Options, c.want)
			}
			if u.Comment != c.comment {
				t.Errorf("the unit's comment is %q, want %q", u.Comment, c.comment)
			}
			if len(u.Ignored) != len(c.ignored) {
				t.Fatalf("ignored %v, want %q", u.Ignored, c.ignored)
			}
			for i, e := range u.Ignored {
				if !strings.Contains(e.Error(), c.ignored[i]) {
					t.Errorf("ignored %q, want %q", e, c.ignored[i])
				}
			}
		})
	}
}

// TestParseFails: at these lines systemd loads no unit from the file.
func TestParseFails(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int
		want       string
	}{
		{"section without end", "[S]\nA=1\n[Unit\nB=2\n", 3, `does not end in ]: "[Unit"`},
		{"quote in a section", "[S]\nA=1\n[U'nit]\n", 3, "a quote"},
		{"no UTF-8", "[S]\nA=1\nB=\xff\nC=2\n", 3, "not UTF-8"},
		{"a noncharacter", "[S]\nA=1\nB=\\\n\ufdd0\nC=2\n", 3, "no character"},
		{"a long line", "[S]\nA=1\nB=" + strings.Repeat("x", maxLine), 3, "longer than 1 MiB"},
		{"many lines that make a long one", "[S]\nA=1\nB=" + strings.Repeat(strings.Repeat("x", maxLine/3)+"\\\n", 4), 5, "longer than 1 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := Parse("a.service", c.text)
			var e *SyntaxError
			if !errors.As(err, &e) || e.File != "a.service" || e.Line != c.line || !strings.Contains(e.Reason, c.want) {
				t.Fatalf("got %v, want line %d and %q", err, c.line, c.want)
			}
			if len(u.Options) != 1 || u.Options[0].Name != "A" {
				t.Errorf("got %+v, want what stands above", u.Options)
			}
		})
	}
}

func TestMarshalFails(t *testing.T) {
	for _, c := range []struct {
		o    Option
		want string
	}{
		{Option{Name: "A", Value: "1"}, "no section"},
		{Option{Section: "S", Value: "1"}, "no name"},
		{Option{Section: "S]\n[T", Name: "A"}, `"S]\n[T"`},
		{Option{Section: "S", Name: "A=B"}, "does not stand for an option"},
		{Option{Section: "S", Name: "#A"}, "does not stand for an option"},
		{Option{Section: "S", Name: " A"}, "does not stand for an option"},
		{Option{Section: "S", Name: "A", Value: "1\nB=2"}, `A= in [S]: "1\nB=2" holds '\n', which ends a line`},
		{Option{Section: "S", Name: "A", Value: " 1"}, "blanks"},
		{Option{Section: "S", Name: "A", Value: "\xff"}, "UTF-8"},
		{Option{Section: "S", Name: "A", Value: "1", Comment: "c\rB=2"}, "the comment of A= in [S]"},
	} {
		if text, err := (&Unit{Options: []Option{c.o}}).MarshalText(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %q and %v, want an error with %q", c.o, text, err, c.want)
		}
	}
	if _, err := (&Unit{Comment: "a\x00"}).MarshalText(); err == nil {
		t.Error("a comment with NUL is written")
	}
}

// pairs returns the texts of all unit files of the package, by name.
func pairs(t testing.TB) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			texts[path], err = Read(path)
		}
		return err
	})
	if err != nil || len(texts) == 0 {
		t.Fatalf("no pairs: %v", err)
	}
	return texts
}

// TestPairsRoundTrip: the pairs come out as they went in, comments included, and
// another parser reads the same.
func TestPairsRoundTrip(t *testing.T) {
	for name, text := range pairs(t) {
		u, err := Parse(name, text)
		if err != nil || len(u.Ignored) > 0 {
			t.Fatalf("%v, ignored %v", err, u.Ignored)
		}
		if out, err := u.MarshalText(); err != nil || string(out) != text {
			t.Errorf("%s comes out as %s\n%v", name, out, err)
		}
		theirs, err := unit.DeserializeOptions(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(u.Options, theirs, func(o Option, p *unit.UnitOption) bool {
			return o.Section == p.Section && o.Name == p.Name && o.Value == p.Value
		}) {
			t.Errorf("%s: %+v, but go-systemd reads %v", name, u.Options, theirs)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range pairs(f) {
		f.Add(text)
	}
	for _, text := range []string{
		"[S]\nA=x\\\n# c\n y\n", "[S]\nA=x\\ \nB=1\n", "\ufeff[S]\n\ufeffA=1", "[S]\r\nA=1\n\rB=2\x00C=3\n[T]\n[S]\nD=4\\\\\n", "[S\\\n\n# c\nA=1", "[a]b]\n[=1\n]=2",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Parse("a.service", text)
		if err != nil {
			var e *SyntaxError
			if !errors.As(err, &e) || e.Line < 1 {
				t.Fatalf("got %v, want a SyntaxError", err)
			}
		}
		last := 0
		for _, o := range u.Options {
			if o.Line <= last || o.Section == "" || o.Name == "" {
				t.Fatalf("%+v after line %d", o, last)
			}
			last = o.Line
			// Only a byte order mark lets such a name stand in a file.
			if strings.ContainsAny(o.Name[:1], "#;[") || strings.HasPrefix(o.Name, byteOrderMark) {
				return
			}
		}
		out, err := u.MarshalText()
		if err != nil {
			t.Fatalf("%v from %q", err, text)
		}
		again, err := Parse("a.service", string(out))
		if err != nil || len(again.Ignored) > 0 {
			t.Fatalf("%v and %v from %q", err, again.Ignored, out)
		}
		if again.Comment != u.Comment {
			t.Fatalf("the unit's comment was %q, is %q", u.Comment, again.Comment)
		}
		if !slices.EqualFunc(u.Options, again.Options, func(a, b Option) bool {
			a.Line = b.Line
			return a == b
		}) {
			t.Fatalf("%q\nwas %+v\nis  %+v", out, u.Options, again.Options)
		}
		if twice, err := again.MarshalText(); err != nil || !bytes.Equal(out, twice) {
			t.Fatalf("%q comes out as %q, %v", out, twice, err)
		}
	})
}
