# Prints what zsh offers where TAB is pressed behind each of the lines "$2" …, each ended by a line "==". The folder "$1" has
# the completions. Runs a zsh of its own at a pseudo-terminal, since there is no completion without one.
zmodload zsh/zpty || exit 1
export ZDOTDIR=$1
shift
cat > $ZDOTDIR/.zshrc <<'END'
PS1= KEYTIMEOUT=1
unset zle_bracketed_paste
fpath=($ZDOTDIR $fpath)
autoload -Uz compinit
compinit -u -D
# All that is offered goes through this.
compadd() {
    local -a hits
    builtin compadd -O hits "$@"
    (( ${#hits} )) && print -rl -- "HIT "${^hits}
    builtin compadd "$@"
}
complete-and-clear() { zle complete-word; BUFFER=; print THE-END }
zle -N complete-and-clear
bindkey '^X' complete-and-clear
print READY
END
zpty shell zsh -d -i
zpty -r shell said '*READY*' || exit 1
for line in "$@"; do
    zpty -w -n shell "$line"$'\x18'
    zpty -r shell said '*THE-END*' || exit 1
    print -r -- $said | tr -d '\r' | sed -n 's/.*HIT //p' | sort -u
    print -r -- '=='
done
