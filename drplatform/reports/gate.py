"""What the gate found, for machines (JUnit XML) and for people in a merge request (Markdown).

JUnit has no word for doubt: an item in doubt is an error there, one that failed a failure. Form: the common schema that CI servers read
(testsuites, testsuite, testcase; https://github.com/testmoapp/junitxml).
"""

from collections.abc import Sequence
from xml.etree import ElementTree

from drplatform.model.gate import Item, Level

SIGNS = {Level.PASSED: "✓", Level.DOUBT: "?", Level.FAILED: "✗"}
GROUPS = {"clause": "Clauses of the strategy", "drill": "Drill calendar", "trend": "Trends", "coverage": "Coverage"}


def junit(items: Sequence[Item]) -> bytes:
    root = ElementTree.Element("testsuites", {"name": "drplatform gate", **_counts(items)})
    for group in dict.fromkeys(item.group for item in items):
        own = [item for item in items if item.group == group]
        suite = ElementTree.SubElement(root, "testsuite", {"name": GROUPS.get(group, group), **_counts(own)})
        for item in own:
            _case(suite, item)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _counts(items: Sequence[Item]) -> dict[str, str]:
    count = {level: str(sum(i.level is level for i in items)) for level in Level}
    return {"tests": str(len(items)), "failures": count[Level.FAILED], "errors": count[Level.DOUBT]}


def _case(suite: ElementTree.Element, item: Item) -> None:
    case = ElementTree.SubElement(suite, "testcase", {"classname": f"drplatform.{item.group}", "name": item.name})
    if item.level is Level.PASSED:
        ElementTree.SubElement(case, "system-out").text = item.text
    else:
        ElementTree.SubElement(case, "failure" if item.level is Level.FAILED else "error", {"message": item.text})


def markdown(items: Sequence[Item]) -> str:
    """A summary: the worst first, what passed folded away."""
    worst = sorted((i for i in items if i.level is not Level.PASSED), key=lambda i: -i.level)
    passed = [i for i in items if i.level is Level.PASSED]
    word = "failed" if any(i.level is Level.FAILED for i in items) else "in doubt" if worst or not items else "passed"
    lines = [f"## Recovery gate: {word}", "", f"{len(passed)} of {len(items)} passed.", ""]
    if worst:
        lines += ["| | What | Found |", "|---|---|---|", *(_row(item) for item in worst), ""]
    if passed:
        lines += [
            "<details><summary>What passed</summary>",
            "",
            "| | What | Found |",
            "|---|---|---|",
            *(_row(i) for i in passed),
            "",
            "</details>",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _row(item: Item) -> str:
    cells = (SIGNS[item.level], f"{item.group} {item.name}", item.text)
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"
