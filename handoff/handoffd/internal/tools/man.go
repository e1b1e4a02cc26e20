package tools

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// ManPage returns the manual page of c, which is root or a command of it, as man(7)
// has it. sections has the section of each command that has a page of its own; all
// others stand in the page of root.
func ManPage(root, c *cli.Command, sections map[string]int) string {
	name, synopsis := root.Name, root.Name+" COMMAND [flags]"
	if c != root {
		name, synopsis = root.Name+"-"+c.Name, root.Name+" "+c.Name+" [flags] "+c.ArgsUsage
	}
	p := page{new(strings.Builder)}
	fmt.Fprintf(p, ".TH %s %d \"\" \"Holdfast %s\" \"Holdfast\"\n", escape(strings.ToUpper(name)), sections[c.Name], escape(root.Version))
	p.section("NAME")
	fmt.Fprintf(p, "%s \\- %s\n", escape(name), escape(c.Usage))
	p.section("SYNOPSIS")
	p.text(synopsis)
	p.section("DESCRIPTION")
	p.text(c.Description)
	var others []string
	if c == root {
		p.section("COMMANDS")
		for _, sub := range c.VisibleCommands() {
			if sections[sub.Name] == 0 {
				fmt.Fprintf(p, ".SS %s\n", escape(strings.TrimSpace(sub.Name+" "+sub.ArgsUsage)))
				p.text(upper(sub.Usage) + ".\n\n" + sub.Description)
				p.flags(sub)
			}
		}
	}
	for _, sub := range append([]*cli.Command{root}, root.VisibleCommands()...) {
		if section := sections[sub.Name]; section != 0 && sub != c {
			other := root.Name
			if sub != root {
				other += "-" + sub.Name
			}
			others = append(others, fmt.Sprintf("%s(%d)", other, section))
		}
	}
	if c != root {
		p.section("OPTIONS")
		p.flags(c)
	}
	p.section("SEE ALSO")
	p.text(strings.Join(append(others, "systemd.service(5)", "systemd.socket(5)", "sd_listen_fds(3)", "sd_notify(3)"), ", "))
	return p.String()
}

// upper begins text with a capital letter.
func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// A page is a manual page in the making.
type page struct{ *strings.Builder }

func (p page) section(title string) { fmt.Fprintf(p, ".SH %s\n", title) }

// text appends paragraphs, which an empty line ends. Lines that are indented stay as
// they are.
func (p page) text(text string) {
	literal, ended := false, false
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" {
			ended = true
			continue
		}
		switch indented := strings.HasPrefix(line, "  "); {
		case indented != literal && indented:
			fmt.Fprintln(p, ".PP\n.nf")
		case indented != literal:
			fmt.Fprintln(p, ".fi\n.PP")
		case ended && literal:
			fmt.Fprintln(p, ".sp")
		case ended:
			fmt.Fprintln(p, ".PP")
		}
		literal, ended = strings.HasPrefix(line, "  "), false
		fmt.Fprintln(p, escape(line))
	}
	if literal {
		fmt.Fprintln(p, ".fi")
	}
}

// flags appends those of a command, as its --help has them.
func (p page) flags(c *cli.Command) {
	for _, f := range c.VisibleFlags() {
		if slices.Contains(f.Names(), "help") {
			continue
		}
		name, usage, _ := strings.Cut(f.String(), "\t")
		fmt.Fprintf(p, ".TP\n%s\n%s\n", escape(strings.TrimSpace(name)), escape(strings.TrimSpace(usage)))
	}
}

// escape writes a line of text so that man(7) sees no request in it.
func escape(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}
