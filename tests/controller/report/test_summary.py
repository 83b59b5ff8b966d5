"""The printout of the demo."""

import json

import pytest
from report_lab import ReportLab

from controller.report.gather import gather
from controller.reporting import write_report
from controller.summary import campaign_summary, summary_text


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return ReportLab(tmp_path_factory.mktemp("summary") / "lab", with_images=False).build()


def test_summary_is_json_and_agrees_with_the_report(lab):
    summary, campaign = campaign_summary(lab), gather(lab)
    assert json.loads(json.dumps(summary)) == json.loads(json.dumps(summary, allow_nan=False))
    assert summary["journal"]["hash"] == campaign.head
    assert summary["hits"]["points"][-1]["n_called"] == campaign.curve.points[-1].n_called
    assert [r["plate"] for r in summary["rounds"]] == ["NP-0001", "NP-0002", None]


def test_summary_names_the_report_once_it_is_written(tmp_path):
    lab = ReportLab(tmp_path / "lab", rounds=1, with_images=False).build()
    assert campaign_summary(lab)["report"] is None
    page = write_report(lab, lab.folder / "reports")
    assert campaign_summary(lab)["report"] == str(page)


def test_text_has_a_line_per_plate_and_the_figures(lab):
    text = summary_text(campaign_summary(lab))
    assert "NP-0001" in text
    assert "NP-0002" in text
    assert "hits called by the assay: 24 (687 of 1,200 compounds tested)" in text
    assert "coverage of the 90 % intervals: 88.0 % (" in text
    assert "computing, s over all rounds: fit 2.5" in text
    assert "similarity search                     not determined: a real lab" in text


def test_text_of_a_campaign_without_a_plate(tmp_path):
    lab = ReportLab(tmp_path / "lab", rounds=1, stop_before="layout", with_images=False).build()
    text = summary_text(campaign_summary(lab))
    assert "hits: no plate has been measured yet" in text
