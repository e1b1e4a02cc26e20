package check

import (
	"path/filepath"
	"slices"
	"strings"
)

// A unit's name has parts: prefix@instance.kind. A template has an empty instance.

// kind is what stands behind the last dot: "service".
func kind(name string) string {
	return strings.TrimPrefix(filepath.Ext(name), ".")
}

// base is the name without its kind: "app@1".
func base(name string) string {
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// template returns "app@.service" for "app@1.service", and "" for a name without an
// instance.
func template(name string) string {
	prefix, instance, ok := strings.Cut(base(name), "@")
	if !ok || instance == "" {
		return ""
	}
	return prefix + "@." + kind(name)
}

// sibling is the unit of the same name and another kind.
func sibling(name, kind string) string { return base(name) + "." + kind }

// validName reports whether a unit may have this name, so that it can stand in a
// path (systemd.unit(5)).
func validName(name string) bool {
	const more = ":-_.\\@"
	ok := len(name) < 256 && base(name) != "" && base(name)[0] != '@'
	return ok && !strings.ContainsFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(more, c))
	})
}

// dropInFolders are the folders that may hold drop-ins of a unit of these names, the
// most specific first: its own, those of its dashed prefixes ("foo-.service.d" of
// "foo-bar.service"), and the same of its template.
func dropInFolders(names ...string) (folders []string) {
	add := func(name string) {
		if !slices.Contains(folders, name+".d") {
			folders = append(folders, name+".d")
		}
	}
	dashed := func(name string) {
		add(name)
		prefix, instance, templated := strings.Cut(base(name), "@")
		for prefix != "" {
			cut := strings.LastIndexByte(strings.TrimRight(prefix, "-"), '-')
			if cut < 0 {
				break
			}
			prefix = prefix[:cut+1]
			if templated {
				add(prefix + "@" + instance + "." + kind(name))
			}
			add(prefix + "." + kind(name))
		}
	}
	for _, name := range names {
		dashed(name)
		if t := template(name); t != "" {
			dashed(t)
		}
	}
	return folders
}

// expandName is expand for the name of a unit: in a template it may have the
// template's own, empty instance.
func (u *Unit) expandName(s string) string {
	if _, instance, templated := strings.Cut(base(u.Name), "@"); templated && instance == "" {
		s = strings.NewReplacer("@%i", "@", "@%I", "@").Replace(s)
	}
	return u.expand(s)
}

// expand replaces those specifiers that stand for the unit's own name, as far as
// they are known before it is started. Others stay.
func (u *Unit) expand(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	prefix, instance, templated := strings.Cut(base(u.Name), "@")
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch {
		case s[i] == 'n' && (!templated || instance != ""):
			b.WriteString(u.Name)
		case s[i] == 'N' && (!templated || instance != ""):
			b.WriteString(base(u.Name))
		case s[i] == 'p':
			b.WriteString(prefix)
		case s[i] == 'i' && instance != "":
			b.WriteString(instance)
		case s[i] == '%':
			b.WriteByte('%')
		default:
			b.WriteString(s[i-1 : i+1])
		}
	}
	return b.String()
}
