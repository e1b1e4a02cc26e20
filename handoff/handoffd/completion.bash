# What completes command lines of handoffd in bash. It needs no other package.
_handoffd() {
	local current=${COMP_WORDS[COMP_CWORD]} asked=("${COMP_WORDS[@]:0:COMP_CWORD}") line
	COMPREPLY=()
	asked[0]=${asked[0]/#\~\//$HOME/}
	[[ $current == -* ]] && asked+=("$current")
	# The words go to handoffd as they stand. To evaluate them would run what is in them.
	while IFS= read -r line; do
		line=${line%%:*}
		if [[ -n $line && $line == "$current"* && ( $COMP_CWORD -eq 1 || $line != help ) ]]; then
			COMPREPLY+=("$line")
		fi
	done < <("${asked[@]}" --generate-shell-completion 2>/dev/null)
}
complete -o bashdefault -o default -F _handoffd handoffd
