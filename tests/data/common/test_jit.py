from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = sorted(path for room in ("dped_data", "dped_train") for path in (ROOT / room).rglob("*.py"))


def compiled_functions() -> dict[str, tuple[dict[str, str], set[str]]]:
    """Return name -> (keywords of its njit decorator, names that it calls), of all compiled functions."""
    found = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "njit":
                    keywords = {str(k.arg): ast.unparse(k.value) for k in decorator.keywords}
                    calls = {
                        c.func.id for c in ast.walk(node) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)
                    }
                    found[node.name] = (keywords, calls)
    return found


def test_functions_with_fast_math_flags_are_inlined_where_they_are_called() -> None:
    """Or a second run, which finds them compiled, differs from the first in the last digits."""
    functions = compiled_functions()
    free = {name for name, (keywords, _) in functions.items() if "fastmath" in keywords}
    while more := {name for name, (_, calls) in functions.items() if calls & free} - free:
        free |= more
    called = {name for _, calls in functions.values() for name in calls} & free
    assert len(called) > 10
    assert [name for name in sorted(called) if functions[name][0].get("forceinline") != "True"] == []


def test_no_function_may_drop_tests_for_nan() -> None:
    for name, (keywords, _) in compiled_functions().items():
        assert keywords.get("fastmath", "FAST_MATH") == "FAST_MATH", name
