#!/usr/bin/env bash
# Finds what macOS does not have in scripts and in the Makefile: its bash is 3.2, its make 3.81, its tools are BSD's.
# A short list of what is written most often, line by line; it knows nothing of quoting, and does not see an empty array
# that is expanded under `set -u`, which bash 3.2 takes for an unknown name. `# portable: WHY` after a line allows it.
#
#   check.sh FILE...
set -euo pipefail

failed=0
# This file has all of it.
files=()
for file in "$@"; do
    [[ $file -ef ${BASH_SOURCE[0]} ]] || files+=("$file")
done

# refuse PATTERN WHY: names each line that has it and is no comment.
refuse() {
    local found
    found=$(grep -nE -e "$1" "${files[@]}" /dev/null | grep -vE '^[^:]*:[0-9]+:[[:space:]]*#|# portable: ') || return 0
    printf '%s\n    error: %s\n' "$found" "$2" >&2
    failed=1
}

# A word that stands alone, as commands do, and what follows it.
word() {
    printf '(^|[^[:alnum:]_./-])(%s)([^[:alnum:]_./=-]|$)' "$1"
}

# A command with an option, which may stand behind others.
option() {
    printf '%s(.* )?-%s' "$(word "$1")" "$2"
}

name='[A-Za-z_][A-Za-z0-9_]*'

refuse "$(word 'mapfile|readarray|coproc')" 'bash 3.2 does not have this builtin'
refuse "$(option 'declare|local|typeset' '[a-z]*[Ang]')" 'bash 3.2 has no arrays by name, no references, no -g'
refuse "$(option wait n)" 'wait -n came with bash 4.3'
refuse "\\\$\{$name(\[[^]]*\])?(\^|,)" 'changing the case of a variable came with bash 4: use tr'
refuse "\\\$\{$name(\[[^]]*\])?@[A-Za-z]\}" 'transforming a variable came with bash 4.4'
refuse "\\\$\{$name\[-" 'an index below 0 came with bash 4.3'
refuse "\\\$\{$name:[^-=?+}][^}]*: *-" 'a length below 0 came with bash 4.2'
refuse '&>>|[^|]\|&[^&]|;;?&$' '&>>, |& and ;;& came with bash 4'
refuse "\{$name\}[<>]" 'a descriptor by name came with bash 4.1: use a number'
refuse 'printf .*%\(' 'times in printf came with bash 4.2: use date'
refuse '\[\[ -v ' '[[ -v came with bash 4.2'
refuse "$(word 'globstar|lastpipe|inherit_errexit|EPOCHSECONDS|EPOCHREALTIME')" 'bash 3.2 does not have it'

refuse "$(option sed '([a-zA-Z]*i|[a-zA-Z]*r)( |$)')" 'sed -i and -r mean something else with BSD: write another file, use -E'
refuse "$(option grep '[a-zA-Z]*P')" 'grep -P is of GNU'
refuse "$(option 'date' '(d|-date)')" 'date -d is of GNU'
refuse "$(option stat '(c|-format)')" 'stat -c is of GNU'
refuse "$(option readlink '[ef]')" 'readlink -f is of GNU'
refuse "$(option sort '[a-zA-Z]*V')" 'sort -V is of GNU'
refuse "$(option xargs '[a-z0-9]*[rd]')" 'xargs -r and -d are of GNU'
refuse "$(option base64 '(w|-wrap)')" 'base64 -w is of GNU: use tr'
refuse "$(option head '[nc] *-')" 'a count below 0 is of GNU'
refuse "$(option cp '[a-zA-Z]*T')" 'cp -T is of GNU'
refuse "$(option find printf)" 'find -printf is of GNU'
refuse "$(word 'nproc|timeout|setsid|getent|tac|realpath|prlimit|unshare')" 'macOS does not have this program'
refuse "$(word sha256sum)([^|]|\|[^|])*\$" 'older macOS has no sha256sum: { sha256sum 2>/dev/null || shasum -a 256; }'

refuse '^\.(SHELLFLAGS|ONESHELL)|^[A-Za-z_]+ *(!=|::=)|\$\(file ' 'make 3.81 does not have it'

exit "$failed"
