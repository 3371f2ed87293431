# SPDX-License-Identifier: GPL-3.0-or-later
import re

import pandas as pd

from mlatem.model import Verdict
from mlatem.reporting import IndexEntry, campaign_frame, render_index

MISFIT = Verdict("misfit", 1.62, 1.5, "", "warning", "Look at the <residuals>.")
AXIS = Verdict("axis", 0.4, 2.0, "eV", "good", "Fine.")
GOOD = IndexEntry(
    "quartz & rutile",
    True,
    n_phases=3,
    elements=("O", "Si"),
    total_counts=1234567.0,
    verdicts=(MISFIT, AXIS),
    thumbnail=b"\x89PNG",
    seconds=75.0,
)
FAILED = IndexEntry("broken", False, "raw/broken.emd is truncated: copy it <again>.")


def test_failures_come_first_with_their_message():
    html = render_index([GOOD, FAILED], "First <light>")
    assert "First &lt;light&gt;" in html
    assert "raw/broken.emd is truncated: copy it &lt;again&gt;." in html
    assert html.index('id="failures"') < html.index('id="datasets"')
    assert "1 failed" in html and "1 finished" in html
    assert "broken/report.html" not in html


def test_finished_datasets_have_numbers_and_links():
    html = render_index([GOOD])
    assert 'id="failures"' not in html
    assert 'href="quartz%20%26%20rutile/report.html"' in html
    assert "data:image/png;base64," in html
    for words in ("O, Si", "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"):
        assert words in html
    assert "1 min 15 s" in html and "1 warning" in html and "1 good" in html


def test_page_needs_no_network():
    html = render_index([GOOD, FAILED])
    assert not re.search(r"https?://|@import|url\(", html)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(a.startswith("data:image/png") or a.endswith("/report.html") for a in addresses)


def test_link_cannot_run_a_script():
    assert 'href="javascript:' not in render_index([IndexEntry("a", True, report="javascript:x")])


def test_empty_campaign():
    assert "names no dataset" in render_index([])
    assert campaign_frame([]).empty
    assert "dataset" in campaign_frame([]).columns


def test_frame_has_a_row_per_dataset_and_a_column_per_verdict():
    frame = campaign_frame([GOOD, FAILED])
    assert list(frame["dataset"]) == ["quartz & rutile", "broken"]
    assert list(frame["status"]) == ["finished", "failed"]
    assert frame.loc[0, "axis (eV)"] == 0.4
    assert frame.loc[0, "misfit"] == 1.62
    assert pd.isna(frame.loc[1, "misfit"])
    assert list(frame["n_warning"]) == [1, 0]
    assert frame.loc[1, "message"] == FAILED.message
    assert frame.loc[0, "elements"] == "O,Si"
