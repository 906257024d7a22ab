"""docs/getting-started.md, executed from the page: once by the commands, once by REST."""

import os
import re
import unittest

import guide
from processes import Settings, folder, free_base

PAGE = os.path.join(os.path.dirname(__file__), "../../docs/getting-started.md")


class GuideTests(unittest.TestCase):
    def test_the_page_works_by_commands(self):
        self.walk("CLI")

    def test_the_page_works_by_rest(self):
        self.walk("REST")

    def walk(self, way):
        platform, second, upstream = free_base(), free_base(), free_base()
        replacements = {"8000": str(platform), "8001": str(platform + 1), "8100": str(second), "9000": str(upstream)}
        run = guide.GuideRun(Settings.binary, folder(self), replacements)
        self.addCleanup(run.close)
        executed = 0
        for block in guide.blocks(PAGE):
            if block.way in (None, way):
                problem = run.execute(block)
                self.assertIsNone(problem, f"docs/getting-started.md, block of line {block.line}: {problem}")
                executed += 1
        self.assertGreater(executed, 20, "the page has lost its blocks")

    def test_a_wrong_page_is_found(self):
        self.assertIsNone(guide.missing_line("a…c\n…\nlast", "first\nabbc\nmore\nlast\n"))
        self.assertEqual(guide.missing_line("b\na", "a\nb\n"), "a")
        self.assertEqual(guide.missing_line("HTTP/1.1 200 …", "HTTP/1.1 500 Internal Server Error\n"), "HTTP/1.1 200 …")


class ProblemTests(unittest.TestCase):
    """docs/reference/problems.md has a line for every refusal there is."""

    SOURCES = {
        "Sources/Gateway/Gateway/Observation/RequestOutcome.swift": r'return "([a-z-]+)"',
        "Sources/Services/REST/Problems/ProblemType.swift": r'^    case (?:\w+ = "([a-z]+-[a-z-]+)"|(\w+))$',
    }

    def test_every_problem_has_its_line(self):
        root = os.path.join(os.path.dirname(__file__), "../..")
        with open(f"{root}/docs/reference/problems.md", encoding="utf-8") as page:
            described = re.findall(r"(?m)^\| `([a-z-]+)` \|", page.read())
        for path, pattern in self.SOURCES.items():
            with open(f"{root}/{path}", encoding="utf-8") as source:
                words = ["".join(found) for found in re.findall(f"(?m){pattern}", source.read())]
            self.assertGreater(len(words), 10, f"{path} says it in another way now")
            self.assertEqual([word for word in words if word not in described], [], path)
