# Runs the commands of a script (tests/src/script.rs), one a line of the file $1 after its line number, in one
# shell: variables and the working directory stay. What a command prints comes between two marks.

# as USER[:GROUP[,GROUP...]] COMMAND... - with a user's rights
as() {
    local user=${1%%:*} groups=${1#*:}
    shift
    setpriv --reuid "$user" --regid "${groups%%,*}" --groups "$groups" -- "$@"
}

# await COMMAND... - until it succeeds; says so when it does not within 40 s
await() {
    local end=$((SECONDS + 40))
    until eval "$*" >/dev/null 2>&1; do
        if ((SECONDS >= end)); then
            echo "in vain: $*"
            eval "$*"
            return 1
        fi
        sleep 0.1
    done
}

# servers NUMBER - until the master offers the free space of that many chunkservers, and no more
servers() {
    await "free=\$(stat -f -c %a .) && ((free > 131072 * ($1 - 1) && free <= 131072 * $1))"
}

# seq_of PREFIX COUNT - names
seq_of() {
    seq -f "$1%g" "$2"
}

# fill FILE LENGTH - writes its name, over and over
fill() {
    python3 -c 'import sys
name, length = sys.argv[1], int(sys.argv[2])
with open(name, "wb") as file:
    file.write((name.encode() * (length // len(name) + 1))[:length])' "$1" "$2" 2>&1 | tail -1
}

mark=$'\001'
while IFS= read -r step <&3; do
    printf '%s$ %s\n' "$mark" "${step%%$'\t'*}"
    eval "${step#*$'\t'}" 2>&1 </dev/null 3<&-
    printf '=> %s\n' $?
done 3<"$1"
