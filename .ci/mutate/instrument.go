package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// An edit replaces the text from one offset to another.
type edit struct {
	from, to int
	text     string
	opens    bool // it comes behind what ends at the same offset
	order    int  // among those at the same offset
}

// A visitor makes the mutants of one file.
type visitor struct {
	p        *pkg
	s        *source
	only     *regexp.Regexp
	function string
}

// instrument makes the mutants of the package.
func (p *pkg) instrument(only *regexp.Regexp) {
	for _, s := range p.files {
		if !s.mutated {
			continue
		}
		v := &visitor{p: p, s: s, only: only}
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				v.function = d.Name.Name
				if d.Recv != nil {
					v.function = strings.TrimPrefix(v.text(d.Recv.List[0].Type), "*") + "." + d.Name.Name
				}
				if d.Body != nil && only.MatchString(v.function) {
					v.block(d.Body, d.Type)
				}
			case *ast.GenDecl:
				v.function = "-"
				if d.Tok == token.VAR && only.MatchString(v.function) {
					v.walk(d, nil)
				}
			}
		}
	}
}

// block makes the mutants of a function's body. sig says what it returns.
func (v *visitor) block(body ast.Node, sig *ast.FuncType) { v.walk(body, sig) }

// walk makes the mutants below n.
func (v *visitor) walk(n ast.Node, sig *ast.FuncType) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			v.walk(n.Body, n.Type)
			return false
		case *ast.BlockStmt:
			v.statements(n.List)
		case *ast.CaseClause:
			v.statements(n.Body)
			v.cases(n)
			v.body(n.Body, n.Colon, n.End(), "case "+v.short(&ast.CaseClause{Case: n.Case, List: n.List, Colon: n.Colon}))
		case *ast.CommClause:
			v.statements(n.Body)
		case *ast.IfStmt:
			v.condition(n.Cond, true, true)
		case *ast.ForStmt:
			if n.Cond != nil {
				v.condition(n.Cond, false, true) // for ever says little, and takes long
			}
		case *ast.ReturnStmt:
			v.result(n, sig)
		case *ast.BinaryExpr:
			v.binary(n)
		case *ast.CompositeLit:
			v.fields(n)
		case *ast.ArrayType:
			return false // a length is a constant
		}
		return true
	})
}

// statements has each statement deleted that may be.
func (v *visitor) statements(list []ast.Stmt) {
	for _, s := range list {
		if l, ok := s.(*ast.LabeledStmt); ok {
			s = l.Stmt
		}
		switch s := s.(type) {
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); !ok || dull(v.text(call.Fun)) {
				continue
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE || allBlank(s.Lhs) {
				continue
			}
		case *ast.IncDecStmt, *ast.SendStmt, *ast.GoStmt, *ast.DeferStmt:
		case *ast.BranchStmt:
			if s.Tok != token.CONTINUE && s.Tok != token.BREAK {
				continue
			}
		default:
			continue
		}
		if n := v.mutant(s.Pos(), "delete "+v.short(s)); n > 0 {
			v.wrap(s.Pos(), s.End(), fmt.Sprintf("if !mutant_(%d) { ", n), " }")
		}
	}
}

// dull reports whether a call is one that no test need notice.
func dull(fun string) bool {
	name := fun[strings.LastIndex(fun, ".")+1:]
	return name == "panic" || strings.Contains(strings.ToLower(fun), "log.") &&
		slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "LogAttrs"}, name)
}

func allBlank(lhs []ast.Expr) bool {
	return !slices.ContainsFunc(lhs, func(e ast.Expr) bool { id, ok := e.(*ast.Ident); return !ok || id.Name != "_" })
}

// body has the statements of a case left out, where there is no other mutant for it.
func (v *visitor) body(list []ast.Stmt, from, to token.Pos, what string) {
	if len(list) < 2 || terminates(list[len(list)-1]) {
		return
	}
	if n := v.mutant(from, "empty "+what); n > 0 {
		v.wrap(from+1, to, fmt.Sprintf(" if !mutant_(%d) { ", n), " }")
	}
}

func terminates(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		id, named := (*ast.Ident)(nil), false
		if ok {
			id, named = call.Fun.(*ast.Ident)
		}
		return named && id.Name == "panic"
	case *ast.IfStmt, *ast.ForStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.BlockStmt, *ast.LabeledStmt:
		return true // may be
	}
	return false
}

// cases has each expression of a case match nothing.
func (v *visitor) cases(c *ast.CaseClause) {
	for _, e := range c.List {
		tv := v.p.info.Types[e]
		if tv.Type == nil || tv.IsType() || tv.IsNil() {
			continue // of a type switch
		}
		basic, ok := tv.Type.Underlying().(*types.Basic)
		if !ok {
			continue
		}
		if basic.Info()&types.IsBoolean != 0 {
			v.condition(e, true, true)
			continue
		}
		name, ok := v.typeName(tv.Type)
		if !ok || basic.Info()&(types.IsString|types.IsInteger) == 0 {
			continue
		}
		if basic.Info()&types.IsUntyped != 0 {
			continue // the tag's type would have to be known; rare
		}
		if n := v.mutant(e.Pos(), "drop case "+v.short(e)); n > 0 {
			helper := "mutantNoString_"
			if basic.Info()&types.IsInteger != 0 {
				helper = "mutantNoInt_"
			}
			v.wrap(e.Pos(), e.End(), fmt.Sprintf("%s[%s](%d, ", helper, name, n), ")")
		}
	}
}

// condition has a condition be true, and false, and its parts what matters.
func (v *visitor) condition(e ast.Expr, yes, no bool) {
	if tv := v.p.info.Types[e]; tv.Value != nil {
		return
	}
	if yes {
		v.bool(e, true)
	}
	if no {
		v.bool(e, false)
	}
}

func (v *visitor) bool(e ast.Expr, value bool) {
	if n := v.mutant(e.Pos(), fmt.Sprintf("%v for %s", value, v.short(e))); n > 0 {
		v.wrap(e.Pos(), e.End(), fmt.Sprintf("mutantBool_(%d, %v, ", n, value), ")")
	}
}

// binary has operators do something else.
func (v *visitor) binary(e *ast.BinaryExpr) {
	tv := v.p.info.Types[e]
	if tv.Value != nil {
		return
	}
	switch e.Op {
	case token.LAND:
		v.condition(e.X, true, false)
		v.condition(e.Y, true, false)
	case token.LOR:
		v.condition(e.X, false, true)
		v.condition(e.Y, false, true)
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		other := map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}[e.Op]
		helper := map[token.Token]string{token.LSS: "mutantLess_", token.LEQ: "mutantLessEqual_", token.GTR: "mutantGreater_", token.GEQ: "mutantGreaterEqual_"}[e.Op]
		v.operator(e, v.operand(e), helper, other)
	case token.ADD, token.SUB:
		basic, ok := tv.Type.Underlying().(*types.Basic)
		if !ok || basic.Info()&types.IsNumeric == 0 {
			return
		}
		other, helper := token.SUB, "mutantAdd_"
		if e.Op == token.SUB {
			other, helper = token.ADD, "mutantSub_"
		}
		v.operator(e, tv.Type, helper, other)
	}
}

// operand is the type of what is compared.
func (v *visitor) operand(e *ast.BinaryExpr) types.Type {
	if v.p.info.Types[e.X].Value == nil {
		return v.p.info.Types[e.X].Type
	}
	return v.p.info.Types[e.Y].Type
}

func (v *visitor) operator(e *ast.BinaryExpr, t types.Type, helper string, other token.Token) {
	name, ok := v.typeName(t)
	if !ok {
		return
	}
	if n := v.mutant(e.Pos(), fmt.Sprintf("%s in %s", other, v.short(e))); n > 0 {
		v.wrap(e.Pos(), e.End(), fmt.Sprintf("%s[%s](%d, ", helper, name, n), ")")
		from := v.offset(e.OpPos)
		v.s.edits = append(v.s.edits, edit{from: from, to: from + len(e.Op.String()), text: ","})
	}
}

// fields has each field of a struct literal forgotten.
func (v *visitor) fields(lit *ast.CompositeLit) {
	t := v.p.info.Types[lit].Type
	if t == nil {
		return
	}
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	st, ok := t.Underlying().(*types.Struct)
	if !ok {
		return
	}
	for i, e := range lit.Elts {
		value := e
		var field *types.Var
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			value = kv.Value
			for f := range st.Fields() {
				if id, ok := kv.Key.(*ast.Ident); ok && f.Name() == id.Name {
					field = f
				}
			}
		} else {
			field = st.Field(i)
		}
		if field == nil {
			continue
		}
		if c, ok := value.(*ast.CompositeLit); ok && c.Type == nil {
			continue
		}
		if tv := v.p.info.Types[value]; tv.IsNil() || tv.Value != nil && slices.Contains([]string{"0", "false", `""`}, tv.Value.String()) {
			continue
		}
		name, ok := v.typeName(field.Type())
		if !ok {
			continue
		}
		what := fmt.Sprintf("forget %s: %s", field.Name(), v.short(value))
		if n := v.mutant(value.Pos(), what); n > 0 {
			v.wrap(value.Pos(), value.End(), fmt.Sprintf("mutantZero_[%s](%d, ", name, n), ")")
		}
	}
}

// result has a function come back without its error, or with the other bool.
func (v *visitor) result(r *ast.ReturnStmt, sig *ast.FuncType) {
	if sig == nil || sig.Results == nil || len(r.Results) != sig.Results.NumFields() {
		return
	}
	i := 0
	for _, f := range sig.Results.List {
		for range max(1, len(f.Names)) {
			e := r.Results[i]
			i++
			tv := v.p.info.Types[e]
			if _, tuple := tv.Type.(*types.Tuple); tuple || tv.IsNil() {
				continue
			}
			switch result := v.p.info.Types[f.Type].Type; {
			case types.Identical(result, types.Universe.Lookup("error").Type()):
				if n := v.mutant(e.Pos(), "no error: "+v.short(r)); n > 0 {
					v.wrap(e.Pos(), e.End(), fmt.Sprintf("mutantZero_[error](%d, ", n), ")")
				}
			case result == types.Typ[types.Bool] && tv.Value != nil:
				v.bool(e, tv.Value.String() == "false")
			case result == types.Typ[types.Bool]:
				v.condition(e, true, true)
			}
		}
	}
}

// mutant makes one, and returns its number; 0 where there is to be none.
func (v *visitor) mutant(pos token.Pos, what string) int {
	rel := filepath.Join(v.p.path, filepath.Base(v.s.path))
	m := &mutant{number: len(v.p.mutants) + 1, file: rel, line: v.p.fset.Position(pos).Line, function: v.function, what: what}
	for _, other := range v.p.mutants {
		if other.what == m.what && other.line == m.line && other.file == m.file && other.function == m.function {
			return 0
		}
	}
	v.p.mutants = append(v.p.mutants, m)
	return m.number
}

func (v *visitor) offset(p token.Pos) int { return v.p.fset.Position(p).Offset }

// wrap puts text before and behind a node. What is wrapped later is inside.
func (v *visitor) wrap(from, to token.Pos, before, behind string) {
	n := len(v.s.edits)
	v.s.edits = append(v.s.edits,
		edit{from: v.offset(from), to: v.offset(from), text: before, opens: true, order: n},
		edit{from: v.offset(to), to: v.offset(to), text: behind, order: -n})
}

func (v *visitor) text(n ast.Node) string {
	return string(v.s.text[v.offset(n.Pos()):v.offset(n.End())])
}

// short is the text of a node on one line.
func (v *visitor) short(n ast.Node) string {
	from, to := v.offset(n.Pos()), 0
	if c, ok := n.(*ast.CaseClause); ok {
		to = v.offset(c.Colon)
	} else {
		to = v.offset(n.End())
	}
	text := strings.Join(strings.Fields(string(v.s.text[from:to])), " ")
	if len(text) > 90 {
		text = text[:90] + "..."
	}
	return text
}

// typeName is how a type is written in this file. ok is false where it cannot be.
func (v *visitor) typeName(t types.Type) (name string, ok bool) {
	ok = true
	if b, basic := t.(*types.Basic); basic && b.Info()&types.IsUntyped != 0 {
		t = types.Default(t)
	}
	name = types.TypeString(t, func(p *types.Package) string {
		if p == v.p.types {
			return ""
		}
		for _, imp := range v.s.ast.Imports {
			if strings.Trim(imp.Path.Value, `"`) == p.Path() {
				if imp.Name != nil {
					return imp.Name.Name
				}
				return p.Name()
			}
		}
		ok = false
		return p.Name()
	})
	// A type that is declared in a function may be hidden where its name is used.
	return name, ok
}

// helpers is the file that is added to the package.
const helpers = `package %s

import (
	"cmp"
	"os"
	"strconv"
	"sync/atomic"
)

var mutantNow_, _ = strconv.Atoi(os.Getenv("MUTATE_NOW"))

var mutantReached_ = func() *os.File {
	f, _ := os.OpenFile(os.Getenv("MUTATE_REACHED"), os.O_WRONLY|os.O_APPEND, 0)
	return f
}()

var mutantSeen_ [%d]atomic.Bool

func mutant_(n int) bool {
	if mutantReached_ != nil && !mutantSeen_[n].Swap(true) {
		mutantReached_.WriteString(strconv.Itoa(n) + "\n")
	}
	return n == mutantNow_
}

func mutantBool_[T ~bool](n int, value, v T) T {
	if mutant_(n) {
		return value
	}
	return v
}

func mutantZero_[T any](n int, v T) T {
	if mutant_(n) {
		var zero T
		return zero
	}
	return v
}

func mutantNoString_[T ~string](n int, v T) T {
	if mutant_(n) {
		return v + "\x00"
	}
	return v
}

type mutantInt_ interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

func mutantNoInt_[T mutantInt_](n int, v T) T {
	if mutant_(n) {
		return ^v
	}
	return v
}

func mutantAdd_[T mutantInt_ | ~float32 | ~float64](n int, a, b T) T {
	if mutant_(n) {
		return a - b
	}
	return a + b
}

func mutantSub_[T mutantInt_ | ~float32 | ~float64](n int, a, b T) T {
	if mutant_(n) {
		return a + b
	}
	return a - b
}

func mutantLess_[T cmp.Ordered](n int, a, b T) bool         { return a < b || mutant_(n) && a == b }
func mutantLessEqual_[T cmp.Ordered](n int, a, b T) bool    { return a < b || !mutant_(n) && a == b }
func mutantGreater_[T cmp.Ordered](n int, a, b T) bool      { return a > b || mutant_(n) && a == b }
func mutantGreaterEqual_[T cmp.Ordered](n int, a, b T) bool { return a > b || !mutant_(n) && a == b }
`

// write writes the changed files, and returns the path of what go build -overlay wants.
func (p *pkg) write(dir string) (overlay string, err error) {
	replace := make(map[string]string)
	for i, s := range p.files {
		if len(s.edits) == 0 {
			continue
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(path, s.changed(), 0o600); err != nil {
			return "", err
		}
		replace[s.path] = path
	}
	added := filepath.Join(dir, "helpers.go")
	if err := os.WriteFile(added, fmt.Appendf(nil, helpers, p.name, len(p.mutants)+1), 0o600); err != nil {
		return "", err
	}
	replace[filepath.Join(p.dir, "mutant_helpers_of_ci.go")] = added
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// changed is the text with all mutants in it.
func (s *source) changed() []byte {
	slices.SortStableFunc(s.edits, func(a, b edit) int {
		switch {
		case a.from != b.from:
			return a.from - b.from
		case a.opens != b.opens:
			if a.opens {
				return 1
			}
			return -1
		}
		return a.order - b.order
	})
	var out []byte
	at := 0
	for _, e := range s.edits {
		out = append(out, s.text[at:e.from]...)
		out = append(out, e.text...)
		at = e.to
	}
	return append(out, s.text[at:]...)
}
