package fd

// A Ref is the place of a descriptor in a list that is kept apart from what refers to
// it, counted from 1; 0 is none.
type Ref int
