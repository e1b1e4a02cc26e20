package control

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/varlink/go/varlink/idl"
)

// TestDescription compares the description with the types that are sent: each
// names the same fields, of kinds that fit, and absent where they may be.
func TestDescription(t *testing.T) {
	described, err := idl.New(description)
	if err != nil {
		t.Fatal(err)
	}
	if described.Name != Interface {
		t.Errorf("it describes %q", described.Name)
	}
	types := map[string]reflect.Type{
		"Verdict":       reflect.TypeFor[Verdict](),
		"Generation":    reflect.TypeFor[Generation](),
		"ServiceStatus": reflect.TypeFor[Status](), // Status is the method's name
	}
	for _, alias := range described.Aliases {
		compare(t, alias.Name, alias.Type, types[alias.Name])
		delete(types, alias.Name)
	}
	if len(types) > 0 {
		t.Errorf("types that are not described: %v", types)
	}

	none := reflect.TypeFor[struct{}]()
	methods := map[string][2]reflect.Type{
		"Reload": {reflect.TypeFor[ReloadRequest](), reflect.TypeFor[verdictReply]()},
		"Commit": {none, reflect.TypeFor[verdictReply]()},
		"Abort":  {none, reflect.TypeFor[verdictReply]()},
		"Drain": {reflect.TypeFor[struct {
			LameDuckUSec int `json:"lameDuckUSec,omitempty"`
		}](), reflect.TypeFor[verdictReply]()},
		"Undrain": {none, reflect.TypeFor[verdictReply]()},
		"Reexec":  {none, none},
		"Status":  {none, reflect.TypeFor[statusReply]()},
		"Monitor": {none, reflect.TypeFor[statusReply]()},
	}
	for _, m := range described.Methods {
		compare(t, m.Name+" in", m.In, methods[m.Name][0])
		compare(t, m.Name+" out", m.Out, methods[m.Name][1])
		delete(methods, m.Name)
		if m.Doc == "" {
			t.Errorf("method %s: nothing is said about it", m.Name)
		}
	}
	if len(methods) > 0 {
		t.Errorf("methods that are not described: %v", methods)
	}

	var names, want []string
	for _, e := range described.Errors {
		names = append(names, Interface+"."+e.Name)
		for _, field := range e.Type.Fields {
			if f, ok := fieldOf(reflect.TypeFor[errorParameters](), field.Name); !ok || !fits(field.Type, f.Type) {
				t.Errorf("error %s: no %s is sent", e.Name, field.Name)
			}
		}
	}
	for _, k := range kinds {
		if strings.HasPrefix(k.name, Interface) {
			want = append(want, k.name)
		}
	}
	want = append(want, errUndone, errFailed)
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("described are the errors %v, sent are %v", names, want)
	}
}

func compare(t *testing.T, what string, described *idl.Type, sent reflect.Type) {
	t.Helper()
	if sent == nil {
		t.Errorf("%s: nothing like it is sent", what)
		return
	}
	for _, field := range described.Fields {
		f, ok := fieldOf(sent, field.Name)
		if !ok || !fits(field.Type, f.Type) {
			t.Errorf("%s: %s of %v does not fit what is described", what, field.Name, f.Type)
			continue
		}
		if absent := strings.Contains(f.Tag.Get("json"), ",omit"); absent != (field.Type.Kind == idl.TypeMaybe) {
			t.Errorf("%s: %s may be absent: %v, and not as described", what, field.Name, absent)
		}
	}
	if len(described.Fields) != sent.NumField() {
		t.Errorf("%s: %d fields are described, %d sent", what, len(described.Fields), sent.NumField())
	}
}

func fieldOf(of reflect.Type, name string) (reflect.StructField, bool) {
	return of.FieldByNameFunc(func(field string) bool {
		f, _ := of.FieldByName(field)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return tag == name
	})
}

func fits(described *idl.Type, sent reflect.Type) bool {
	switch described.Kind {
	case idl.TypeMaybe:
		return fits(described.ElementType, sent)
	case idl.TypeArray:
		return sent.Kind() == reflect.Slice && fits(described.ElementType, sent.Elem())
	case idl.TypeAlias:
		if sent.Kind() == reflect.Pointer {
			sent = sent.Elem()
		}
		return strings.HasSuffix(described.Alias, sent.Name())
	case idl.TypeBool:
		return sent.Kind() == reflect.Bool
	case idl.TypeInt:
		return sent.Kind() == reflect.Int || sent.Kind() == reflect.Uint64
	case idl.TypeString:
		return sent.Kind() == reflect.String || sent == reflect.TypeFor[time.Time]()
	}
	return false
}
