"""What axe-core says of a page as it stands in a browser: its serious and critical findings, one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SCRIPT = (Path(__file__).parents[1] / "vendor/axe-core/axe.min.js").read_text(encoding="utf-8")
GRAVE = ("serious", "critical")
#: Rules whose answer depends on theme and width; all others are asked once per page.
VISIBLE_RULES = ("color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable")
RUN = """([rules, grave]) => {
  const chosen = rules.length ? {type: "rule", values: rules} : {type: "tag", values: [
    "wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]};
  // A change of theme may be on its way; what counts is where it leads.
  document.getAnimations().forEach((one) => { try { one.finish(); } catch { one.cancel(); } });
  return window.axe.run(document, {runOnly: chosen, resultTypes: ["violations"], preload: false}).then(
    ({violations}) => violations.filter(({impact}) => grave.includes(impact)).flatMap(({id, nodes}) => nodes.map(
      (node) => [id, node.target.join(" "), node.failureSummary.split("\\n").slice(1).join(" ").trim()])));
}"""


def load_axe(page: Page) -> None:
    """Into the page that is open; the browser itself does it, which no content security policy forbids."""
    page.evaluate(SCRIPT)


def findings(page: Page, *, visible_only: bool = False) -> list[str]:
    """`rule: element: what is wrong`, for everything serious or critical on the open page."""
    rules = list(VISIBLE_RULES) if visible_only else []
    found: list[Any] = page.evaluate(RUN, [rules, list(GRAVE)])
    return [f"{rule}: {element}: {words}" for rule, element, words in found]
