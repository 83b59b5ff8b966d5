"""What the text of a vendor's file written by hand says of it, and no analysis does."""

import ast
from collections.abc import Iterator

_CHANCE = ("random.", "secrets.", "numpy.random.", "uuid.uuid1", "uuid.uuid4", "os.urandom")
_CLOCK = (
    "time.time", "time.monotonic", "time.perf_counter", "time.localtime", "time.gmtime", "time.ctime",
    "time.strftime", "datetime.now", "datetime.today", "datetime.utcnow", "date.today",
)  # fmt: skip
_SEEDS = ("random.seed", "numpy.random.seed", "random.Random", "numpy.random.default_rng")


def asks_whether_it_is_real(text: str) -> int:
    """Return the line in which a file asks whether it is simulated; 0: in none."""
    code = (line.partition("#")[0] for line in text.splitlines())
    return next((n for n, line in enumerate(code, 1) if "is_simulating" in line), 0)


def may_differ(text: str) -> list[str]:
    """Say where a file asks for chance or for the time: its next analysis, and its run, may do something else.

    Chance from a seed that the file names is the same every time. A file that is no Python says nothing: the
    interpreter tells of that.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names = _imported(tree)
    calls = [(node.lineno, _whole_name(node.func, names), bool(node.args)) for node in _calls(tree)]
    is_seeded = any(name in _SEEDS and has_seed for _, name, has_seed in calls)
    notes = []
    for line, name, _ in sorted(calls):
        is_chance = name.startswith(_CHANCE) and not (is_seeded and "random." in name)
        if is_chance or any(name == clock or name.endswith(f".{clock}") for clock in _CLOCK):
            why = "chance" if is_chance else "the time"
            notes.append(f"line {line}: it asks for {why} ({name}): what it does on the robot may differ from this")
    return list(dict.fromkeys(notes))


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return what imported names stand for: np for numpy, randint for random.randint."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _whole_name(node: ast.expr, names: dict[str, str]) -> str:
    """Return the dotted name of what is called, as its module spells it; empty: it has none."""
    if isinstance(node, ast.Attribute):
        before = _whole_name(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""
