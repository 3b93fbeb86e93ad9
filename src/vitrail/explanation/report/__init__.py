"""Explanations and traces as things to look at and to keep: a page, pictures, exact numbers, a terminal's text.

    from vitrail.explanation.report import report

    found = report(encoder, "a text", methods=["decompx"], attention=True)
    found.save("out.html")                       # or .png .svg .pdf .json .npz .md

Figures of matplotlib: pictures.draw_attribution, draw_head, draw_heads, draw_looked_at. For TensorBoard:
board.write_board.

To read: report, ../spans, attention, page (with page.js and page.css), exact, terminal, pictures, board.
"""

from vitrail.explanation.report.exact import schema
from vitrail.explanation.report.page import static_spans
from vitrail.explanation.report.report import Part, Report, report

__all__ = ["Part", "Report", "report", "schema", "static_spans"]
