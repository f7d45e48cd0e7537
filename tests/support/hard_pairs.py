"""Pairs of questions for the semantic cache: hard negatives that ask something else, and rewordings that do not.

A kind of negative has five frames and five pairs of values; every frame is combined with every pair. 16 kinds, 400 pairs.
"""

from __future__ import annotations

_SHELL = (
    "What happens if I run `{}` on my laptop?",
    "Is it safe to run `{}` in a cron job?",
    "How long does {} take on a big disk?",
    "Please explain the command {} to me",
    "Why does {} print an error in the container?",
)
_CODE = (
    "What does `{}` return in this library?",
    "How do I call {} from a test?",
    "Why is {} so slow on my machine?",
    "Where is `{}` defined in the project?",
    "Please write a docstring for {} in English",
)
_FILES = (
    "What is stored in {} on a server?",
    "Can I delete {} without losing data?",
    "How do I open `{}` in the editor?",
    "Why is {} so large on my disk?",
    "Who should be allowed to read `{}` here?",
)
_RELEASES = (
    "Is {} still supported by the team?",
    "How do I install {} on my laptop?",
    "What is new in {} for users?",
    "Does the plugin work with {} on Linux?",
    "Which bugs were fixed in {} for Windows?",
)
_MODALS = (
    "What {} I do when the server restarts?",
    "Which forms {} a new employee sign?",
    "When {} we pay the invoice?",
    "Where {} the driver park the truck?",
    "Who {} approve the change in our team?",
)
_PLACES = (
    "Is the report written {} my manager?",
    "How do I pay {} a card?",
    "What is the code {} the door?",
    "Where can I travel {} a dog?",
    "Which music do you play {} the children?",
)
_GRADES = (
    "What is a {} laptop to buy?",
    "Which is the {} hotel in Rome?",
    "Is this the {} plan in the shop?",
    "Where do I find the {} doctor in town?",
    "What makes the {} teacher in a school?",
)

NEGATIVES: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "relative and absolute path": (
        _SHELL,
        (
            ("rm -rf ./tmp", "rm -rf /tmp"),
            ("ls ../logs", "ls logs"),
            ("du -sh ~/data", "du -sh /data"),
            ("cp -r src dst", "cp -r src/ dst"),
            ("find . -name a", "find / -name a"),
        ),
    ),
    "separators of a path": (
        _FILES,
        (
            ("/etc/app/conf", "/etc/app-conf"),
            ("C:\\data\\logs", "C:/data-logs"),
            ("notes.txt.bak", "notes-txt.bak"),
            ("backup/old_site", "backup/old/site"),
            (".config", "config"),
        ),
    ),
    "case of a flag": (
        _SHELL,
        (
            ("grep -r pattern", "grep -R pattern"),
            ("tar -c files", "tar -C files"),
            ("ssh -l host", "ssh -L host"),
            ("curl -o page", "curl -O page"),
            ("sort -f names", "sort -F names"),
        ),
    ),
    "dashes of a flag": (
        _SHELL,
        (
            ("tool -all", "tool --all"),
            ("ls -a", "ls a"),
            ("build --in place", "build --in-place"),
            ("git checkout -- main", "git checkout main"),
            ("kill -s name", "kill s name"),
        ),
    ),
    "case of an identifier": (
        _CODE,
        (
            ("loadUser", "LoadUser"),
            ("Counter", "counter"),
            ("MAX_SIZE", "max_size"),
            ("getURL", "getUrl"),
            ("parser.Parse", "parser.parse"),
        ),
    ),
    "separators of an identifier": (
        _CODE,
        (
            ("load_user", "load.user"),
            ("_cache", "cache"),
            ("__init__", "_init_"),
            ("read-file", "read_file"),
            ("app.run", "app/run"),
        ),
    ),
    "plural of an identifier": (
        _CODE,
        (
            ("get_user()", "get_users()"),
            ("order.item", "order.items"),
            ("parse_args", "parse_arg"),
            ("`value`", "`values`"),
            ("loadFiles", "loadFile"),
        ),
    ),
    "inflection or synonym in an identifier": (
        _CODE,
        (
            ("delete_row", "erase_row"),
            ("start_job", "begin_job"),
            ("is_loading", "is_load"),
            ("buy_car()", "purchase_car()"),
            ("pick.best", "pick.good"),
        ),
    ),
    "letters of an identifier": (
        _CODE,
        (
            ("fetch_recrods", "fetch_records"),
            ("colour_map", "color_map"),
            ("strncpyx()", "strncpy()"),
            ("the_value", "a_value"),
            ("do_run", "run"),
        ),
    ),
    "signs of an expression": (
        _CODE,
        (
            ("f(x)", "f[x]"),
            ("items[:n]", "items[n:]"),
            ("a.b", "a, b"),
            ("not (a, b)", "(not a, b)"),
            ("x; y", "x: y"),
        ),
    ),
    "version": (
        _RELEASES,
        (
            ("Python 3.1", "Python 3.10"),
            ("version v2", "version 2.0"),
            ("release 1.2.0", "release 1.2"),
            ("release 4.0-rc", "release 4.0"),
            ("kernel 5.10", "kernel 5:10"),
        ),
    ),
    "name that differs by case": (
        (
            "How do I clean {} quickly at home?",
            "Where can I learn about {} online?",
            "What is the history of {} in short?",
            "Is there a good book about {} please?",
            "Why do people like {} so much?",
        ),
        (
            ("Polish", "polish"),
            ("Apple", "apple"),
            ("Turkey", "turkey"),
            ("Windows", "windows"),
            ("Go", "go"),
        ),
    ),
    "quoted text": (
        (
            "How do I search for {} in a book?",
            "What does {} mean on a form?",
            "Can I name my shop {} in France?",
            "Why does the screen show {} at night?",
            "Where do I type {} in the window?",
        ),
        (
            ("'start'", "'begin'"),
            ('"Yes"', '"yes"'),
            ("'the end'", "'end'"),
            ("'file'", "'files'"),
            ('"please wait"', '"wait"'),
        ),
    ),
    "modal": (
        _MODALS,
        (("must", "can"), ("should", "may"), ("must", "should"), ("can", "should"), ("might", "must")),
    ),
    "preposition": (
        _PLACES,
        (("for", "with"), ("by", "for"), ("to", "with"), ("on", "for"), ("at", "with")),
    ),
    "grade": (
        _GRADES,
        (("good", "best"), ("top", "good"), ("great", "best"), ("best", "better"), ("fast", "fastest")),
    ),
}

# drawn after the rules were written: the same kinds, other frames and values; 100 pairs
_DO = ("What does {} do in the script?", "Can I trust {} on my computer?")
_ASK = ("What {} a tenant do when the heating fails?", "Which rules {} a driver follow in a city?")
HELD_OUT: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "relative and absolute path": (_DO, (("cat ./key", "cat /key"), ("cd ~", "cd /"), ("mv a/b c", "mv a b c"))),
    "separators of a path": (_DO, (("var/log/app", "var/log-app"), ("a.tar.gz", "a-tar.gz"), ("src/main", "src.main"))),
    "case of a flag": (
        _DO,
        (("ps -e", "ps -E"), ("chmod -r file", "chmod -R file"), ("git branch -d x", "git branch -D x")),
    ),
    "dashes of a flag": (_DO, (("run -v", "run --v"), ("npm -- test", "npm test"), ("make -clean", "make clean"))),
    "case of an identifier": (
        _DO,
        (("Queue", "queue"), ("toJson", "toJSON"), ("Path.Join", "path.join"), ("Widget", "widget")),
    ),
    "separators of an identifier": (_DO, (("my_list", "my-list"), ("user_id", "user.id"), ("foo_bar", "foo bar"))),
    "plural of an identifier": (_DO, (("row_count", "rows_count"), ("getKey", "getKeys"), ("`token`", "`tokens`"))),
    "inflection or synonym in an identifier": (
        _DO,
        (("fix_bug", "repair_bug"), ("run_test", "running_test"), ("kidCount", "childCount")),
    ),
    "letters of an identifier": (_DO, (("recieve()", "receive()"), ("an_item", "item"), ("sendMesage", "sendMessage"))),
    "signs of an expression": (_DO, (("g(n)", "g{n}"), ("x = y", "x == y"), ("b[k]", "b.k"))),
    "version": (_DO, (("Node 1.2", "Node 1.20"), ("tool v3", "tool 3"), ("Java 8-beta", "Java 8"))),
    "name that differs by case": (_DO, (("Swift", "swift"), ("Chrome", "chrome"), ("Frost", "frost"))),
    "quoted text": (_DO, (("'delete'", "'erase'"), ('"Stop"', '"stop"'), ('"a key"', '"key"'))),
    "modal": (_ASK, (("must", "may"), ("can", "must"), ("should", "might"))),
    "preposition": (
        ("Is this a present {} my sister?", "Can I send a letter {} the bank?"),
        (("for", "with"), ("to", "for"), ("by", "with")),
    ),
    "grade": (
        ("What is the {} phone?", "Which is a {} school in Paris?"),
        (("good", "best"), ("better", "best"), ("great", "top"), ("good", "better")),
    ),
}

_SUBJECTS = (
    "reset my password", "cancel my order", "learn Spanish", "repair a bicycle", "buy a used car",
    "change my email address", "prepare for an exam", "remove red wine from a carpet", "travel to Japan with a dog",
    "open a bank account", "upload a photo", "increase my income", "delete my account",
    "run `rm -rf ./tmp`", "use grep -R", "install Python 3.11", "call load_user() from a test", "open /etc/hosts",
    "upgrade from v1.2 to v2.0", "set MAX_SIZE in config.toml", "read a CSV file with pandas.read_csv",
    "undo git commit --amend", "parse JSON in Go", "stop a Docker container", "sort a list in C++",
)  # fmt: skip
_REWORDED = (
    ("How do I {}?", "How can I {}?"),
    ("How do I {}?", "What is the best way to {}?"),
    ("How can I {}?", "Hi, how do I {} please"),
    ("Is there a way to {}?", "How do I {}?"),
    ("Can you tell me how to {}?", "How to {}?"),
    ("Is it possible to {}?", "Can I {}?"),
)


def negatives(
    kinds: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = NEGATIVES,
) -> list[tuple[str, str, str]]:
    """Pairs that ask something else: (kind, one, other)."""
    return [
        (kind, frame.format(one), frame.format(other))
        for kind, (frames, values) in kinds.items()
        for frame in frames
        for one, other in values
    ]


def positives() -> list[tuple[str, str]]:
    """Pairs that ask the same in other words, half of them technical."""
    return [(one.format(s), other.format(s)) for one, other in _REWORDED for s in _SUBJECTS]
