# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_flockmon_global_optspecs
    string join \n w/workers= hold= think= lock= shared= acquire= keep-open restart= scene= log= stop-on-failure seed= d/duration= n/acquisitions= record= print-config o/output= hgrm= force theme= ascii no-color threshold= fps= config= no-config h/help V/version
end

function __fish_flockmon_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_flockmon_global_optspecs) -- $cmd 2>/dev/null
    or return 0
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_flockmon_using_subcommand
    set -l cmd (__fish_flockmon_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

function __fish_flockmon_in_lab
    not __fish_flockmon_using_subcommand replay watch compare check schema theme completions man
end

complete -c flockmon -n "__fish_flockmon_in_lab" -s w -l workers -d 'How many worker processes contend, 1 to 10000' -r -f
complete -c flockmon -n "__fish_flockmon_in_lab" -l hold -d 'How long a worker holds the lock: 1s | 500ms..2s (uniform) | exp:1s (exponential) | 0' -r -f
complete -c flockmon -n "__fish_flockmon_in_lab" -l think -d 'Time between a release and the next attempt, written like --hold' -r -f
complete -c flockmon -n "__fish_flockmon_in_lab" -l lock -d 'Which kind of lock: flock(2), fcntl(2) record lock, or fcntl(2) open-file-description lock' -r -f -a "flock\t'`flock(2)`: belongs to the open file description'
posix\t'`fcntl(2)` `F_SETLKW`: belongs to the process'
ofd\t'`fcntl(2)` `F_OFD_SETLKW`: belongs to the open file description'"
complete -c flockmon -n "__fish_flockmon_in_lab" -l shared -d 'Share of acquisitions that are shared (read) locks, 0 to 100' -r -f
complete -c flockmon -n "__fish_flockmon_in_lab" -l acquire -d 'How to wait: block | poll:DUR (non-blocking tries, DUR apart) | timeout:DUR (give up after DUR)' -r -f -a "block\t''
poll:\t''
timeout:\t''"
complete -c flockmon -n "__fish_flockmon_in_lab" -l restart -d 'Whether a worker that ends is started again: always | never' -r -f -a "always\t'Always, as containers do under `restart: always`'
never\t'Never: the run ends when the last one has ended'"
complete -c flockmon -n "__fish_flockmon_in_lab" -l scene -d 'A preset that shows one thing; options given beside it override it; --scene list names them all' -r -f -a "list\t'print the scenes and end'
containers\t'ten containers on one lock, restarted when they die: the default; waits are unequal, nothing is wrong'
greedy\t'kept open, no think time: whoever releases barges back in, waits have two humps'
courteous\t'1 ms of think time: strict turns, everybody waits the same, and the queue never empties'
readers\t'readers that keep coming starve a writer'
stalled\t'the holder of the fifth turn is stopped and keeps the lock; s resumes it'
split\t'in the fifth turn the path is unlinked and made anew: two locks, two holders (exit status 3)'
inherited\t'the holder of the fifth turn forks and is killed: its child keeps the lock; k kills the child'
pollers\t'every other worker polls beside those that block: pollers hardly ever find the lock free'
deadlock\t'two locks taken in opposite order; k kills a holder, and the rest goes on until the next time'"
complete -c flockmon -n "__fish_flockmon_in_lab" -l log -d 'Keep all that COMMAND writes, in DIR/worker-N.log [default: only the last 64 KiB, until the end]' -r -f -a "(__fish_complete_directories)"
complete -c flockmon -n "__fish_flockmon_in_lab" -l seed -d 'The same N makes the same random choices again [default: new ones each run]' -r -f
complete -c flockmon -n "__fish_flockmon_in_lab" -s d -l duration -d 'End this long after the start; pauses count' -r -f
complete -c flockmon -n "__fish_flockmon_in_lab" -s n -l acquisitions -d 'End after N acquisitions in all' -r -f
complete -c flockmon -n "__fish_flockmon_in_lab" -l record -d 'Also write every event to FILE, as JSON lines; flockmon replay FILE shows it again' -r -F
complete -c flockmon -n "__fish_flockmon_in_lab" -s o -l output -d 'What to print: tui (the screen) | log (one line per event, then the summary) | jsonl (one JSON object per event) | summary (figures at the end) | json (the same as one object) | perfetto (a trace) [default: tui where stdout is a terminal, else log]' -r -f -a "tui\t'The screen'
log\t'A line an event, and a summary at the end'
jsonl\t'A line of JSON an event; see `flockmon schema`'
json\t'One JSON object at the end'
summary\t'A summary at the end'
perfetto\t'A trace for ui.perfetto.dev'"
complete -c flockmon -n "__fish_flockmon_in_lab" -l hgrm -d 'At the end, write wait.hgrm, hold.hgrm and handoff.hgrm into DIR, for HdrHistogram plotters' -r -f -a "(__fish_complete_directories)"
complete -c flockmon -n "__fish_flockmon_in_lab" -l theme -d 'Colours: auto (the terminal\'s own 16) | dark | light | safe (for the colour-blind) | mono | a file (its name has a / or ends in .toml); see flockmon theme' -r -f -a "auto\t'The 16 colours of the terminal'
dark\t'For dark backgrounds'
light\t'For light backgrounds'
safe\t'For the colour-blind, on black'
mono\t'No colours, only bold and reverse'"
complete -c flockmon -n "__fish_flockmon_in_lab" -l threshold -d 'Set a threshold that decides when a finding is said; may be given again; --threshold list names them all' -r -f -a "list\t'print them all and end'
deadlock-time=\t'each wait of the circle is this old: a real one does not pass (20 times, where threads are not told apart)'
crash-loop-deaths=\t'a worker died so often in a row without the lock'
dead-time=\t'the holder has been dead, or a zombie, for so long, and its lock is still taken'
uninterruptible-time=\t'the holder has slept in the kernel for so long while others wait'
inherited-time=\t'another process than the one that took it has kept the lock for so long while others wait'
outside-time=\t'in a lab, workers have queued for so long while none of them held the lock'
long-hold-factor=\t'a hold lasts so many times what 99 of 100 holds of that lock lasted'
long-hold-time=\t'and at least so long'
long-hold-samples=\t'and what is usual is known from so many holds'
long-hold-unknown=\t'or, in a watch as long as what is usual is not known, it lasts so long while others wait'
starvation-wait=\t'shorter waits are no starvation (nor poll_starvation)'
starvation-rounds=\t'everyone else came later and was served first so many times over'
starvation-streak=\t'or one holder took the lock again at once so many times in a row'
failed-runs=\t'so many runs of COMMAND failed'
convoy-time=\t'nobody has found the lock free for so long'
convoy-turns=\t'nor in so many acquisitions'
lost-events=\t'so many events were lost'"
complete -c flockmon -n "__fish_flockmon_in_lab" -l fps -d 'Frames a second at most, 1 to 60' -r -f
complete -c flockmon -n "__fish_flockmon_in_lab" -l config -d 'Read FILE instead of flockmon/config.toml in $XDG_CONFIG_HOME, else in ~/.config' -r -F
complete -c flockmon -n "__fish_flockmon_in_lab" -l keep-open -d 'Open the file once and release with an unlock, instead of opening and closing each time'
complete -c flockmon -n "__fish_flockmon_in_lab" -l stop-on-failure -d 'End at the first run of COMMAND that does not end with status 0, with exit status 1'
complete -c flockmon -n "__fish_flockmon_in_lab" -l print-config -d 'Print the settings in force as a configuration file, and end'
complete -c flockmon -n "__fish_flockmon_in_lab" -l force -d 'Overwrite files that are there (--record, --hgrm, --log)'
complete -c flockmon -n "__fish_flockmon_in_lab" -l ascii -d 'Draw with ASCII characters only'
complete -c flockmon -n "__fish_flockmon_in_lab" -l no-color -d 'No colours, as with a non-empty NO_COLOR in the environment'
complete -c flockmon -n "__fish_flockmon_in_lab" -l no-config -d 'Read no configuration file'
complete -c flockmon -n "__fish_flockmon_in_lab" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flockmon -n "__fish_flockmon_in_lab" -s V -l version -d 'Print version'
complete -c flockmon -n "__fish_flockmon_needs_command" -a "replay" -d 'Show a recording on the same screen, or compute reports from it'
complete -c flockmon -n "__fish_flockmon_needs_command" -a "watch" -d 'Show locks that other programs use, on the same screen'
complete -c flockmon -n "__fish_flockmon_needs_command" -a "compare" -d 'Print two runs side by side, one row per figure, with the ratio'
complete -c flockmon -n "__fish_flockmon_needs_command" -a "check" -d 'Find out whether the locks of a file system can be trusted, one verdict per promise'
complete -c flockmon -n "__fish_flockmon_needs_command" -a "schema" -d 'Print the JSON Schema of recordings, summaries and verdicts'
complete -c flockmon -n "__fish_flockmon_needs_command" -a "theme" -d 'Print a built-in theme as a file to start from, for --theme FILE; without NAME, list them'
complete -c flockmon -n "__fish_flockmon_needs_command" -a "completions" -d 'Print completions for a shell: bash | zsh | fish'
complete -c flockmon -n "__fish_flockmon_needs_command" -a "man" -d 'Print the manual page; flockmon man | man -l -'
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l speed -d 'How many times as fast as it was: 0.01 to 1000, or max [default: 1 on the screen, else max]' -r -f -a "0.5\t''
1\t''
4\t''
max\t''"
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -s o -l output -d 'What to print: tui (the screen) | log (one line per event, then the summary) | jsonl (one JSON object per event) | summary (figures at the end) | json (the same as one object) | perfetto (a trace) [default: tui where stdout is a terminal, else log]' -r -f -a "tui\t'The screen'
log\t'A line an event, and a summary at the end'
jsonl\t'A line of JSON an event; see `flockmon schema`'
json\t'One JSON object at the end'
summary\t'A summary at the end'
perfetto\t'A trace for ui.perfetto.dev'"
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l hgrm -d 'At the end, write wait.hgrm, hold.hgrm and handoff.hgrm into DIR, for HdrHistogram plotters' -r -f -a "(__fish_complete_directories)"
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l theme -d 'Colours: auto (the terminal\'s own 16) | dark | light | safe (for the colour-blind) | mono | a file (its name has a / or ends in .toml); see flockmon theme' -r -f -a "auto\t'The 16 colours of the terminal'
dark\t'For dark backgrounds'
light\t'For light backgrounds'
safe\t'For the colour-blind, on black'
mono\t'No colours, only bold and reverse'"
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l threshold -d 'Set a threshold that decides when a finding is said; may be given again; --threshold list names them all' -r -f -a "list\t'print them all and end'
deadlock-time=\t'each wait of the circle is this old: a real one does not pass (20 times, where threads are not told apart)'
crash-loop-deaths=\t'a worker died so often in a row without the lock'
dead-time=\t'the holder has been dead, or a zombie, for so long, and its lock is still taken'
uninterruptible-time=\t'the holder has slept in the kernel for so long while others wait'
inherited-time=\t'another process than the one that took it has kept the lock for so long while others wait'
outside-time=\t'in a lab, workers have queued for so long while none of them held the lock'
long-hold-factor=\t'a hold lasts so many times what 99 of 100 holds of that lock lasted'
long-hold-time=\t'and at least so long'
long-hold-samples=\t'and what is usual is known from so many holds'
long-hold-unknown=\t'or, in a watch as long as what is usual is not known, it lasts so long while others wait'
starvation-wait=\t'shorter waits are no starvation (nor poll_starvation)'
starvation-rounds=\t'everyone else came later and was served first so many times over'
starvation-streak=\t'or one holder took the lock again at once so many times in a row'
failed-runs=\t'so many runs of COMMAND failed'
convoy-time=\t'nobody has found the lock free for so long'
convoy-turns=\t'nor in so many acquisitions'
lost-events=\t'so many events were lost'"
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l fps -d 'Frames a second at most, 1 to 60' -r -f
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l config -d 'Read FILE instead of flockmon/config.toml in $XDG_CONFIG_HOME, else in ~/.config' -r -F
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l force -d 'Overwrite files that are there (--record, --hgrm, --log)'
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l ascii -d 'Draw with ASCII characters only'
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l no-color -d 'No colours, as with a non-empty NO_COLOR in the environment'
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -l no-config -d 'Read no configuration file'
complete -c flockmon -n "__fish_flockmon_using_subcommand replay" -s h -l help -d 'Print help'
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l pid -d 'Watch the locks that this process holds or waits for; may be given again' -r -f
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l how -d 'How to see: exact (the kernel\'s tracepoints; needs privilege) | sampled (/proc/locks, read again and again) [default: exact where allowed]' -r -f -a "exact\t'Each request and release, as the kernel\'s tracepoints tell them'
sampled\t'What stands in `/proc/locks` each time it is read'"
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l interval -d 'Time between two readings of /proc/locks where it is sampled, 1ms to 1m [default: 100ms]' -r -f
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -s d -l duration -d 'End this long after the start; pauses count' -r -f
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -s n -l acquisitions -d 'End after N acquisitions in all' -r -f
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l record -d 'Also write every event to FILE, as JSON lines; flockmon replay FILE shows it again' -r -F
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -s o -l output -d 'What to print: tui (the screen) | log (one line per event, then the summary) | jsonl (one JSON object per event) | summary (figures at the end) | json (the same as one object) | perfetto (a trace) [default: tui where stdout is a terminal, else log]' -r -f -a "tui\t'The screen'
log\t'A line an event, and a summary at the end'
jsonl\t'A line of JSON an event; see `flockmon schema`'
json\t'One JSON object at the end'
summary\t'A summary at the end'
perfetto\t'A trace for ui.perfetto.dev'"
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l hgrm -d 'At the end, write wait.hgrm, hold.hgrm and handoff.hgrm into DIR, for HdrHistogram plotters' -r -f -a "(__fish_complete_directories)"
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l theme -d 'Colours: auto (the terminal\'s own 16) | dark | light | safe (for the colour-blind) | mono | a file (its name has a / or ends in .toml); see flockmon theme' -r -f -a "auto\t'The 16 colours of the terminal'
dark\t'For dark backgrounds'
light\t'For light backgrounds'
safe\t'For the colour-blind, on black'
mono\t'No colours, only bold and reverse'"
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l threshold -d 'Set a threshold that decides when a finding is said; may be given again; --threshold list names them all' -r -f -a "list\t'print them all and end'
deadlock-time=\t'each wait of the circle is this old: a real one does not pass (20 times, where threads are not told apart)'
crash-loop-deaths=\t'a worker died so often in a row without the lock'
dead-time=\t'the holder has been dead, or a zombie, for so long, and its lock is still taken'
uninterruptible-time=\t'the holder has slept in the kernel for so long while others wait'
inherited-time=\t'another process than the one that took it has kept the lock for so long while others wait'
outside-time=\t'in a lab, workers have queued for so long while none of them held the lock'
long-hold-factor=\t'a hold lasts so many times what 99 of 100 holds of that lock lasted'
long-hold-time=\t'and at least so long'
long-hold-samples=\t'and what is usual is known from so many holds'
long-hold-unknown=\t'or, in a watch as long as what is usual is not known, it lasts so long while others wait'
starvation-wait=\t'shorter waits are no starvation (nor poll_starvation)'
starvation-rounds=\t'everyone else came later and was served first so many times over'
starvation-streak=\t'or one holder took the lock again at once so many times in a row'
failed-runs=\t'so many runs of COMMAND failed'
convoy-time=\t'nobody has found the lock free for so long'
convoy-turns=\t'nor in so many acquisitions'
lost-events=\t'so many events were lost'"
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l fps -d 'Frames a second at most, 1 to 60' -r -f
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l config -d 'Read FILE instead of flockmon/config.toml in $XDG_CONFIG_HOME, else in ~/.config' -r -F
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l read-only -d 'Take away the keys that signal processes'
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l force -d 'Overwrite files that are there (--record, --hgrm, --log)'
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l ascii -d 'Draw with ASCII characters only'
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l no-color -d 'No colours, as with a non-empty NO_COLOR in the environment'
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -l no-config -d 'Read no configuration file'
complete -c flockmon -n "__fish_flockmon_using_subcommand watch" -s h -l help -d 'Print help'
complete -c flockmon -n "__fish_flockmon_using_subcommand compare" -s h -l help -d 'Print help'
complete -c flockmon -n "__fish_flockmon_using_subcommand check" -s o -l output -d 'What to print: text | json' -r -f -a "text\t'A line a verdict, as it becomes known'
json\t'One JSON object at the end'"
complete -c flockmon -n "__fish_flockmon_using_subcommand check" -s d -l duration -d 'How long each round of contention lasts' -r -f
complete -c flockmon -n "__fish_flockmon_using_subcommand check" -s w -l workers -d 'How many processes contend in a round, 2 to 256' -r -f
complete -c flockmon -n "__fish_flockmon_using_subcommand check" -s h -l help -d 'Print help'
complete -c flockmon -n "__fish_flockmon_using_subcommand schema" -s h -l help -d 'Print help'
complete -c flockmon -n "__fish_flockmon_using_subcommand theme" -s h -l help -d 'Print help'
complete -c flockmon -n "__fish_flockmon_using_subcommand completions" -s h -l help -d 'Print help'
complete -c flockmon -n "__fish_flockmon_using_subcommand man" -s h -l help -d 'Print help'
complete -c flockmon -n "__fish_flockmon_using_subcommand check" -f -a "(__fish_complete_directories)"
complete -c flockmon -n "__fish_flockmon_using_subcommand schema" -f
complete -c flockmon -n "__fish_flockmon_using_subcommand theme" -f -a "auto\t'The 16 colours of the terminal'
dark\t'For dark backgrounds'
light\t'For light backgrounds'
safe\t'For the colour-blind, on black'
mono\t'No colours, only bold and reverse'"
complete -c flockmon -n "__fish_flockmon_using_subcommand completions" -f -a "bash
zsh
fish"
complete -c flockmon -n "__fish_flockmon_using_subcommand man" -f
