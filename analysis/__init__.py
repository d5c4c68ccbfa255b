"""From Parquet to tables, figures and reports. Imports neither torch nor ray.

>>> import analysis
>>> run = analysis.read_run("./lab", "label_efficiency")
>>> analysis.table(run)             # a DataFrame, one row an arm and metric
>>> analysis.figure(run).show()
"""

from .figures import figure as figure
from .report import render_report as render_report
from .report import write_report as write_report
from .summary import Run as Run
from .summary import read_run as read_run
from .summary import summarize as summarize
from .tables import caption as caption
from .tables import render as render
from .tables import table as table

__all__ = [
    "Run",
    "caption",
    "figure",
    "read_run",
    "render",
    "render_report",
    "summarize",
    "table",
    "write_report",
]
