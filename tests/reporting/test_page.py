# SPDX-License-Identifier: GPL-3.0-or-later
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Acquisition, Decision, Estimate, PhaseTable, Verdict
from mlatem.reporting import DriftCurve, Survey, render_report
from mlatem.reporting.caveats import caveats

PNG = b"\x89PNG\r\n\x1a\n"


class _Page(HTMLParser):
    """Addresses, anchors and visible words of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses, self.ids, self.tags, self.words = [], [], [], []
        self.feed(html)
        self.text = re.sub(r"[ \n]+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.addresses += [values[name] for name in ("src", "href") if name in values]
        self.ids += [values["id"]] if "id" in values else []

    def handle_data(self, data):
        if self.tags[-1:] not in (["style"], ["script"]):
            self.words.append(data)


@pytest.fixture(scope="module")
def report(make):
    return render_report(make.inputs())


def test_page_needs_no_network(report):
    html = report.html
    page = _Page(html)
    for address in page.addresses:
        assert address.startswith(("data:image/png;base64,", "#")), address
    assert not re.search(r"https?://|@import|url\(", html)
    assert {"link", "iframe", "object"}.isdisjoint(page.tags)
    anchors = {address[1:] for address in page.addresses if address.startswith("#")}
    assert anchors <= set(page.ids)


def test_page_tells_the_numbers_of_the_table(report):
    text = _Page(report.html).text
    for words in ("66.70 ± 0.31", "60.00 ± 0.31", "sys ± 4.2", "40.00 wt%", "< 0.42", "50.0"):
        assert words in text, words
    assert " 0.00 ± " not in text


def test_page_tells_intervals_and_what_may_be_nothing(make):
    frame = make.table().frame.copy()
    assert "interval of 95 %" not in _Page(render_report(make.inputs()).html).text
    frame["atomic_percent_low"] = (frame["atomic_percent"] - 1.5).clip(lower=0)
    frame["atomic_percent_high"] = frame["atomic_percent"] + 2.25
    is_silicon, is_first = frame["element"] == "Si", frame["phase"] == 1
    frame.loc[is_silicon & is_first, ["atomic_percent_low", "upper_limit"]] = [0.0, 36.1]
    text = _Page(render_report(replace(make.inputs(), table=PhaseTable(frame))).html).text
    for words in ("interval of 95 %", "65.20\N{EN DASH}68.95", "< 36 "):
        assert words in text, words
    assert "33.30" not in text


def test_unquantified_element_is_no_zero(make):
    frame = make.table().frame.copy()
    is_iron = frame["element"] == "Fe"
    is_first = frame["phase"] == 1
    frame.loc[is_iron & is_first, ["atomic_percent", "weight_percent", "detection_limit"]] = np.nan
    text = _Page(render_report(make.inputs(table=PhaseTable(frame))).html).text
    assert text.count("not quantified") > text.count("Gray: too few counts, not quantified")


def test_origins_decisions_verdicts_and_provenance_are_shown(report):
    text = _Page(report.html).text
    for words in (
        "20 \N{MICRO SIGN}s file",
        "22 deg assumed",
        "3.10 ± 0.40 eV measured",
        "axis moved",
        "factorize.n_phases",
        "1.62",
        "threshold 1.5",
        "Look at the residuals.",
        "f00d",
        "38\N{NARROW NO-BREAK SPACE}400 counts",
        "not known: no absorption correction",
        "thickness_nm",
    ):
        assert words in text, words


def test_a_verdict_without_a_threshold_shows_none(make):
    steady = Verdict("convergence", 123.0, None, "rounds", "good", "All fits converged.")
    html = render_report(make.inputs(verdicts=(steady,), calibration=make.calibration())).html
    assert "123" in html and "threshold" not in _Page(html).text


def test_a_phase_is_called_by_its_main_elements(make):
    frame = make.table().frame.copy()
    is_first = frame["phase"] == 1
    for element, percent in (("O", 60.0), ("Si", 36.0), ("Fe", 4.0)):
        frame.loc[is_first & (frame["element"] == element), "atomic_percent"] = percent
    text = _Page(render_report(make.inputs(table=PhaseTable(frame))).html).text
    assert "Phase 1: O\N{EN DASH}Si" in text


def test_everything_is_escaped(make):
    evil = "<script>alert('x')</script>"
    html = render_report(
        make.inputs(
            dataset=evil,
            decisions=(Decision(evil, evil, evil, evil),),
            verdicts=(Verdict(evil, 1.0, 2.0, evil, "bad", evil),),
            acquisition=Acquisition().updated({"microscope": evil}, "file"),
            provenance={evil: {evil: evil}},
            survey=Survey(np.ones((4, 4)), 1.0, name=evil),
        )
    ).html
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") > 8


def test_figures_are_those_of_the_page(report):
    expected = {"survey", "phase_map", "spectrum_1", "spectrum_2", "abundance_1", "abundance_2"}
    expected |= {f"{kind}_{e}" for kind in ("element", "sigma") for e in ("O", "Si", "Fe")}
    expected |= {"deviance", "deviance_z", "scree"}
    assert set(report.figures) == {f"{name}.png" for name in expected}
    assert all(png.startswith(PNG) for png in (*report.figures.values(), report.thumbnail))
    assert _Page(report.html).tags.count("img") == len(expected)


def test_page_without_what_is_optional(make):
    report = render_report(
        make.inputs(
            survey=None,
            basis=None,
            verdicts=(),
            decisions=(),
            provenance={},
            acquisition=Acquisition(),
            total_counts=float("nan"),
            calibration=make.calibration(decisions=()),
        )
    )
    text = _Page(report.html).text
    assert "survey.png" not in report.figures and "scree.png" not in report.figures
    for words in ("no survey image", "No quality", "Nothing was decided", "No provenance"):
        assert words in text, words


def test_phase_that_dominates_nowhere_is_told(make):
    factorization = make.factorization()
    counts, abundance = (
        np.array(a) for a in (factorization.dominant_counts, factorization.dominant_abundance)
    )
    counts[1], abundance[1] = 0, 0
    factorization = replace(factorization, dominant_counts=counts, dominant_abundance=abundance)
    report = render_report(make.inputs(factorization=factorization))
    assert "spectrum_2.png" not in report.figures
    assert "most counts in no pixel" in report.html


def test_failed_convergence_is_the_first_caveat(make):
    factorization = make.factorization(converged=False, reason="200 rounds were not enough")
    text = _Page(render_report(make.inputs(factorization=factorization)).html).text
    assert "NO: 200 rounds were not enough" in text
    assert "did not converge: read every number" in text


def test_known_thickness_changes_the_caveat(make):
    thickness = Estimate(2.65e-4, None, "user")
    calibration = make.calibration(mass_thickness_kg_m2=thickness)
    text = _Page(render_report(make.inputs(calibration=calibration)).html).text
    assert "26.5 \N{MICRO SIGN}g/cm² user" in text
    assert "absorption is not corrected" not in text
    assert "mean mass thickness of each phase, for a flat film" in text


@pytest.mark.parametrize(
    ("signal_type", "beam_kev", "is_told"),
    [("EDS_TEM", 200.0, False), ("EDS_SEM", 200.0, True), ("EDS_TEM", 15.0, True)],
)
def test_a_thin_film_model_of_a_bulk_specimen_is_told(make, signal_type, beam_kev, is_told):
    inputs = make.inputs(
        acquisition=Acquisition().updated({"signal_type": signal_type}, "file"),
        calibration=make.calibration(beam_energy_kev=Estimate(beam_kev, None, "file")),
    )
    sentences = caveats(inputs)
    assert ("no ZAF" in sentences[0]) is is_told
    assert not is_told or f"{beam_kev:g} keV" in sentences[0]


def test_line_scan(make):
    factorization = make.factorization((1, 40))
    assert render_report(make.inputs(factorization=factorization)).thumbnail.startswith(PNG)


def test_same_inputs_same_page(make, report):
    assert render_report(make.inputs()) == report


def test_parts_of_different_datasets_are_refused(make):
    other = make.maps(make.factorization((5, 6)))
    with pytest.raises(InputError, match=r"pixel maps of .5, 6. pixels"):
        make.inputs(maps=other)
    table = PhaseTable(make.table().frame.query("phase == 1"))
    with pytest.raises(InputError, match="the table has 1 phases"):
        make.inputs(table=table)


@pytest.mark.parametrize(
    ("image", "pixel_nm", "words"),
    [(np.ones(3), 1.0, "expected .ny, nx."), (np.ones((3, 3)), 0.0, "more than 0")],
)
def test_bad_survey_is_refused(image, pixel_nm, words):
    with pytest.raises(InputError, match=words):
        Survey(image, pixel_nm)


def test_what_is_known_beforehand_stands_with_its_cost(make, report):
    assert "Known beforehand" not in _Page(report.html).text
    factorization = make.factorization(
        phase_names=["", "wire"],
        priors={"wire": ["absent O", "only in rim"]},
        prior_deviance=[None, 42.0],
        prior_limit=[None, 10.8],
    )
    page = _Page(render_report(make.inputs(factorization=factorization)).html)
    assert "Known beforehand" in page.text
    assert "2: wire absent O; only in rim 42 10.8 contradict it" in page.text
    assert "Phase 2: wire" in page.text


def test_the_drift_is_shown_where_it_was_found(make):
    curve = DriftCurve((0.2, 1.1, 0.0), (0.0, -0.4, 0.0), (True, True, False), "HAADF")
    rendered = render_report(make.inputs(drift=curve))
    assert rendered.figures["drift.png"].startswith(b"\x89PNG")
    assert "Drift between the frames, found on HAADF" in rendered.html
    assert "drift.png" not in render_report(make.inputs()).figures


def test_a_mask_is_in_the_legend(make):
    inputs = make.inputs()
    mask = np.zeros(inputs.maps.phase.shape, dtype=bool)
    mask[2, 3] = True
    maps = replace(inputs.maps, mask=mask)
    assert "left out by the mask" in render_report(replace(inputs, maps=maps)).html
    assert "left out by the mask" not in render_report(inputs).html
